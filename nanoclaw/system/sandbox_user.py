"""The user of sandboxes: that of the host, or under a root host a fixed unprivileged one (contract 6)."""

import os

SANDBOX_UID = 10_001
"""The user and group id of sandboxes of a host that runs as root."""


def sandbox_owner() -> tuple[int, int] | None:
    """Return (uid, gid) of the user of sandboxes, if it is not the host's own."""
    return (SANDBOX_UID, SANDBOX_UID) if os.geteuid() == 0 else None
