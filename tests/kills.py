"""Kills the host of a world at one of its commits."""

from pathlib import Path

from nanoclaw.testing import World
from nanoclaw.testing.world.executor import When


def kill_at(world: World, kill: tuple[When, int] | None) -> int:
    """Have the host killed before or after its n-th commit from now; None kills it at no commit.

    Return the number of commits so far.
    """
    begun = world.executor.commits

    def at_commit(path: Path, when: When, n: int) -> None:
        del path
        if kill == (when, n - begun):
            world.kill_host_now()

    world.commit_hooks.append(at_commit)
    return begun
