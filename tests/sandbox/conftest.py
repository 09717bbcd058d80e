import pytest

from nanoclaw.system import disk_use

LOTS = 1 << 40


class Disk:
    """The free space of this machine's disk, as the host reads it."""

    free: int = LOTS


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Let there be space, whatever this machine has."""
    made = Disk()
    monkeypatch.setattr(disk_use, "free_bytes", lambda _: made.free)
    return made
