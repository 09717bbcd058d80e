"""`host.admin`: every operation as a typed call, `host.admin.<noun>.<verb>(...)`, for one caller."""

from collections.abc import Callable

import structlog
from attrs import frozen

from nanoclaw.operations.agents import Agents
from nanoclaw.operations.approvals import Approvals
from nanoclaw.operations.budgets import Budgets
from nanoclaw.operations.channels import Channels
from nanoclaw.operations.chats import Chats
from nanoclaw.operations.destinations import Destinations
from nanoclaw.operations.dropped import Dropped
from nanoclaw.operations.ground import Ground
from nanoclaw.operations.http_keys import HttpKeys
from nanoclaw.operations.members import Members
from nanoclaw.operations.messages import Messages
from nanoclaw.operations.network import Network
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.questions import Questions
from nanoclaw.operations.rights import Caller
from nanoclaw.operations.roles import Roles
from nanoclaw.operations.rows import AgentGroups, DirectChats, MessagingGroups, Parked, UnregisteredSenders
from nanoclaw.operations.sessions import Sessions
from nanoclaw.operations.strangers import Strangers
from nanoclaw.operations.tasks import Tasks
from nanoclaw.operations.usage import Usage
from nanoclaw.operations.users import Users
from nanoclaw.operations.web import Web
from nanoclaw.operations.wirings import Wirings

NOUNS: tuple[type[Noun], ...] = (
    Agents,
    Channels,
    Chats,
    Wirings,
    Users,
    Roles,
    Members,
    Destinations,
    Sessions,
    Messages,
    Tasks,
    Questions,
    Approvals,
    Network,
    Dropped,
    Strangers,
    Budgets,
    Usage,
    Web,
    HttpKeys,
)
"""The nouns that come with NanoClaw, in the order of the documentation."""

_log = structlog.get_logger()


def _logged(note: str) -> None:
    _log.info("operations.note", note=note)


@frozen
class Admin:
    """One attribute for each noun. A call's changes are on disk when it returns."""

    agents: Agents
    channels: Channels
    chats: Chats
    wirings: Wirings
    users: Users
    roles: Roles
    members: Members
    destinations: Destinations
    sessions: Sessions
    messages: Messages
    tasks: Tasks
    questions: Questions
    approvals: Approvals
    network: Network
    dropped: Dropped
    strangers: Strangers
    budgets: Budgets
    usage: Usage
    web: Web
    http_keys: HttpKeys
    # Only for the host's own program:
    dms: DirectChats
    parked: Parked
    agent_groups: AgentGroups
    messaging_groups: MessagingGroups
    unregistered_senders: UnregisteredSenders

    @classmethod
    def of(
        cls, ground: Ground, caller: Caller | None = None, note: Callable[[str], None] = _logged
    ) -> "Admin":
        """Return the operations on a ground, for a caller; default: the host's own program."""
        who = caller or Caller.host()
        return cls(
            agents=Agents(ground, who, note),
            channels=Channels(ground, who, note),
            chats=Chats(ground, who, note),
            wirings=Wirings(ground, who, note),
            users=Users(ground, who, note),
            roles=Roles(ground, who, note),
            members=Members(ground, who, note),
            destinations=Destinations(ground, who, note),
            sessions=Sessions(ground, who, note),
            messages=Messages(ground, who, note),
            tasks=Tasks(ground, who, note),
            questions=Questions(ground, who, note),
            approvals=Approvals(ground, who, note),
            network=Network(ground, who, note),
            dropped=Dropped(ground, who, note),
            strangers=Strangers(ground, who, note),
            budgets=Budgets(ground, who, note),
            usage=Usage(ground, who, note),
            web=Web(ground, who, note),
            http_keys=HttpKeys(ground, who, note),
            dms=DirectChats(ground),
            parked=Parked(ground),
            agent_groups=AgentGroups(ground),
            messaging_groups=MessagingGroups(ground),
            unregistered_senders=UnregisteredSenders(ground),
        )
