"""The registry: the only writer of the central database."""

from nanoclaw.records import Presence
from nanoclaw.registry.actor import INSTALL_ID, Registry, registry_recipe, watch_lock
from nanoclaw.registry.agent_groups import CreateAgentGroup, DeleteAgentGroup, UpdateAgentGroup
from nanoclaw.registry.approvals import (
    CreateApproval,
    DecideApproval,
    DeleteApproval,
    ExpireApprovals,
)
from nanoclaw.registry.changes import Changes
from nanoclaw.registry.destinations import CreateDestination, DeleteDestination, RenameDestination
from nanoclaw.registry.engaged_threads import RecordEngaged
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
from nanoclaw.registry.questions import (
    ChooseOption,
    CloseQuestion,
    CreateQuestion,
    DateBackQuestions,
    DeleteQuestion,
    NoteCard,
    NoteCardShown,
)
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
    "ChooseOption",
    "ChooseTeller",
    "CloseQuestion",
    "CreateAgentGroup",
    "CreateApproval",
    "CreateDestination",
    "CreateMessagingGroup",
    "CreateQuestion",
    "CreateUser",
    "CreateWiring",
    "DateBackQuestions",
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
    "NoteCard",
    "NoteCardShown",
    "NoteDm",
    "OpenSession",
    "ParkEvent",
    "PerformAction",
    "Presence",
    "RecordDrops",
    "RecordEngaged",
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
