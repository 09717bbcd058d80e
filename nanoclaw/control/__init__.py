"""The control socket: JSON lines on `<data>/control.sock`; the running host can be asked, and spoken to."""

from nanoclaw.control.listener import Control, open_control

__all__ = ["Control", "open_control"]
