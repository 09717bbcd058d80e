"""The registry: the only writer of the central database."""

from nanoclaw.records import Presence
from nanoclaw.registry.actor import INSTALL_ID, Registry, registry_recipe, watch_lock
from nanoclaw.registry.agent_groups import CreateAgentGroup, DeleteAgentGroup, UpdateAgentGroup
from nanoclaw.registry.approvals import (
    CreateApproval,
    CreateQuestion,
    DecideApproval,
    DeleteApproval,
    DeleteQuestion,
    ExpireApprovals,
)
from nanoclaw.registry.changes import Changes
from nanoclaw.registry.destinations import CreateDestination, DeleteDestination, RenameDestination
from nanoclaw.registry.first_run import Bootstrap
from nanoclaw.registry.messaging_groups import (
    CreateMessagingGroup,
    DeleteMessagingGroup,
    EnsureChat,
    ForgetDm,
    NoteDm,
    UpdateMessagingGroup,
)
from nanoclaw.registry.network import MOST_OPEN, AskForSite, DecideSite, ForgetSite
from nanoclaw.registry.performed_actions import ActionRefused, PerformAction
from nanoclaw.registry.sessions import (
    DeleteSession,
    OpenSession,
    ParkEvent,
    RecordPresence,
    RemoveParked,
    UpdateSession,
)
from nanoclaw.registry.unregistered_senders import ForgetUnregisteredSender, RecordDrops
from nanoclaw.registry.usage import (
    AlertTold,
    ChooseTeller,
    NewAlert,
    RecordUsage,
    ResetBudget,
    SetBudget,
)
from nanoclaw.registry.users import (
    AddMember,
    AdmitSender,
    CreateUser,
    DeleteUser,
    EnsureUser,
    GrantRole,
    LiftRefusal,
    LinkUsers,
    RemoveMember,
    RevokeRole,
    UnlinkUser,
    UpdateUser,
)
from nanoclaw.registry.wirings import CreateWiring, DeleteWiring, UpdateWiring, WireChat

__all__ = [
    "INSTALL_ID",
    "MOST_OPEN",
    "ActionRefused",
    "AddMember",
    "AdmitSender",
    "AlertTold",
    "AskForSite",
    "Bootstrap",
    "Changes",
    "ChooseTeller",
    "CreateAgentGroup",
    "CreateApproval",
    "CreateDestination",
    "CreateMessagingGroup",
    "CreateQuestion",
    "CreateUser",
    "CreateWiring",
    "DecideApproval",
    "DecideSite",
    "DeleteAgentGroup",
    "DeleteApproval",
    "DeleteDestination",
    "DeleteMessagingGroup",
    "DeleteQuestion",
    "DeleteSession",
    "DeleteUser",
    "DeleteWiring",
    "EnsureChat",
    "EnsureUser",
    "ExpireApprovals",
    "ForgetDm",
    "ForgetSite",
    "ForgetUnregisteredSender",
    "GrantRole",
    "LiftRefusal",
    "LinkUsers",
    "NewAlert",
    "NoteDm",
    "OpenSession",
    "ParkEvent",
    "PerformAction",
    "Presence",
    "RecordDrops",
    "RecordPresence",
    "RecordUsage",
    "Registry",
    "RemoveMember",
    "RemoveParked",
    "RenameDestination",
    "ResetBudget",
    "RevokeRole",
    "SetBudget",
    "UnlinkUser",
    "UpdateAgentGroup",
    "UpdateMessagingGroup",
    "UpdateSession",
    "UpdateUser",
    "UpdateWiring",
    "WireChat",
    "registry_recipe",
    "watch_lock",
]
