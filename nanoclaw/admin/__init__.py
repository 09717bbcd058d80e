"""The central database for embedders: `host.admin.<entity>.<verb>(...)`, typed throughout.

Reads use a read-only connection; writes are messages to the registry. What the rows forbid is raised as
`NotFound`, `StillReferenced` or `NotAllowed` (all `nanoclaw.store.OperationRefused`), what the schema forbids
as `Conflict`.
"""

from attrs import frozen

from actors import Ref
from nanoclaw.admin.conversations import Approvals, Parked, Questions, SessionRows
from nanoclaw.admin.groups import AgentGroups, Destinations, MessagingGroups, Wirings
from nanoclaw.admin.people import DirectChats, Members, Roles, Strangers, Users
from nanoclaw.registry import Registry
from nanoclaw.store import Reader

__all__ = [
    "Admin",
    "AgentGroups",
    "Approvals",
    "Destinations",
    "DirectChats",
    "Members",
    "MessagingGroups",
    "Parked",
    "Questions",
    "Roles",
    "SessionRows",
    "Strangers",
    "Users",
    "Wirings",
]


@frozen
class Admin:
    """One attribute an entity."""

    agent_groups: AgentGroups
    messaging_groups: MessagingGroups
    wirings: Wirings
    destinations: Destinations
    users: Users
    roles: Roles
    members: Members
    dms: DirectChats
    strangers: Strangers
    sessions: SessionRows
    parked: Parked
    questions: Questions
    approvals: Approvals

    @classmethod
    def of(cls, registry: Ref[Registry], central: Reader) -> "Admin":
        """For a host's registry, and a reader of its central database."""
        to = (registry, central)
        return cls(
            agent_groups=AgentGroups(*to),
            messaging_groups=MessagingGroups(*to),
            wirings=Wirings(*to),
            destinations=Destinations(*to),
            users=Users(*to),
            roles=Roles(*to),
            members=Members(*to),
            dms=DirectChats(*to),
            strangers=Strangers(*to),
            sessions=SessionRows(*to),
            parked=Parked(*to),
            questions=Questions(*to),
            approvals=Approvals(*to),
        )
