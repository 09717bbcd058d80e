"""The user of sandboxes: that of the host, or under a root host a fixed unprivileged one (contract 6)."""

import os

SANDBOX_UID = 10_001
"""The user and group id of sandboxes of a host that runs as root."""


def shared_modes() -> tuple[int, int]:
    """Return the modes of folders and files that sandboxes only read. The folder above them is private.

    Under a root host, the user of sandboxes is one of the others.
    """
    return (0o755, 0o644) if os.geteuid() == 0 else (0o700, 0o600)


def sandbox_owner() -> tuple[int, int] | None:
    """Return (uid, gid) of the user of sandboxes, if it is not the host's own."""
    return (SANDBOX_UID, SANDBOX_UID) if os.geteuid() == 0 else None
