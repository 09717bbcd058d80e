"""The control socket: JSON lines on `<data>/control.sock`, for requests to the running host and for its chat.

Clients import only the protocol. The modules that serve the socket are imported on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanoclaw.control.listener import Control, default_control, open_control

__all__ = ["Control", "default_control", "open_control"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nanoclaw.control import listener  # noqa: PLC0415 -- it imports what no client needs

    return getattr(listener, name)
