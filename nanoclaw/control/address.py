"""The place of the control socket."""

from pathlib import Path

NAME = "control.sock"


def socket_path(data: Path) -> Path:
    """Return the control socket of the host that owns a data directory."""
    return data / NAME
