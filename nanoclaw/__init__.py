"""NanoClaw: a personal assistant that runs on your own machine.

    async with nanoclaw.open_host(nanoclaw.load_config(), channels=[...]) as host:
        ...

runs it within any trio program. The names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanoclaw.channels.factory import ChannelContext, ChannelFactory, configured_channels
    from nanoclaw.channels.protocol import (
        Capabilities,
        Channel,
        ChannelUnavailable,
        DeliveryRejected,
        DraftingSender,
        Repeat,
        Sender,
        Unattended,
    )
    from nanoclaw.channels.simple import SimpleChannel
    from nanoclaw.channels.state import BadState, ChannelState, Lock, StateFull, StateUnavailable
    from nanoclaw.channels.terminal.terminal import render
    from nanoclaw.config import Config, ConfigError, load_config
    from nanoclaw.control import Control
    from nanoclaw.host import Host, HostFailed, Seams, open_host
    from nanoclaw.recording import Record
    from nanoclaw.records import (
        Address,
        Attachment,
        Attended,
        BadEvent,
        CardContent,
        CardEditContent,
        ChatMessage,
        ChatRenamed,
        Clicked,
        Deleted,
        EditContent,
        InboundEvent,
        Intake,
        Joined,
        Left,
        NotAccepted,
        Option,
        Outgoing,
        OutgoingContent,
        OutgoingFile,
        QuestionContent,
        Reacted,
        ReactionContent,
        Receipt,
        ReplyTo,
        Routed,
        SdkMessage,
        TextContent,
        Webhook,
    )
    from nanoclaw.records.status import CannotTell, HostReport
    from nanoclaw.runtimes import RuntimeContext, RuntimeFactory

__all__ = [
    "Address",
    "Attachment",
    "Attended",
    "BadEvent",
    "BadState",
    "CannotTell",
    "Capabilities",
    "CardContent",
    "CardEditContent",
    "Channel",
    "ChannelContext",
    "ChannelFactory",
    "ChannelState",
    "ChannelUnavailable",
    "ChatMessage",
    "ChatRenamed",
    "Clicked",
    "Config",
    "ConfigError",
    "Control",
    "Deleted",
    "DeliveryRejected",
    "DraftingSender",
    "EditContent",
    "Host",
    "HostFailed",
    "HostReport",
    "InboundEvent",
    "Intake",
    "Joined",
    "Left",
    "Lock",
    "NotAccepted",
    "Option",
    "Outgoing",
    "OutgoingContent",
    "OutgoingFile",
    "QuestionContent",
    "Reacted",
    "ReactionContent",
    "Receipt",
    "Record",
    "Repeat",
    "ReplyTo",
    "Routed",
    "RuntimeContext",
    "RuntimeFactory",
    "SdkMessage",
    "Seams",
    "Sender",
    "SimpleChannel",
    "StateFull",
    "StateUnavailable",
    "TextContent",
    "Unattended",
    "Webhook",
    "configured_channels",
    "load_config",
    "open_host",
    "render",
]

_HOMES = {
    "nanoclaw.channels.factory": ("ChannelContext", "ChannelFactory", "configured_channels"),
    "nanoclaw.runtimes": ("RuntimeContext", "RuntimeFactory"),
    "nanoclaw.channels.protocol": (
        "Capabilities",
        "Channel",
        "ChannelUnavailable",
        "DeliveryRejected",
        "DraftingSender",
        "Repeat",
        "Sender",
        "Unattended",
    ),
    "nanoclaw.channels.simple": ("SimpleChannel",),
    "nanoclaw.channels.state": ("BadState", "ChannelState", "Lock", "StateFull", "StateUnavailable"),
    "nanoclaw.channels.terminal.terminal": ("render",),
    "nanoclaw.config": ("Config", "ConfigError", "load_config"),
    "nanoclaw.control": ("Control",),
    "nanoclaw.host": ("Host", "HostFailed", "Seams", "open_host"),
    "nanoclaw.records.status": ("CannotTell", "HostReport"),
    "nanoclaw.recording": ("Record",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'nanoclaw' has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "nanoclaw.records")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
