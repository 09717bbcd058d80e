"""A limit of virtual time. The timers of the host would otherwise keep a waiting world running."""

from collections.abc import Iterator
from pathlib import Path

import trio

from nanoclaw.testing.error_summary import NOT_OF_THE_CALLER
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.standstill import unshield

LIMIT_DAYS = 3660.0
"""Ten years: longer than a simulation needs, and quickly reached if nothing happens."""
DAY_S = 86_400.0
NOBODYS = NOT_OF_THE_CALLER | {"pytest_trio"}


async def too_late(limit_days: float) -> WorldError:
    """Wait for the limit; return the error, which names all places that wait outside of NanoClaw.

    The tasks that wait there can be cancelled afterwards, even behind a shield.
    """
    await trio.sleep(limit_days * DAY_S)
    waiting = [(task, place) for task in _below(trio.lowlevel.current_root_task()) for place in _place(task)]
    for task, _ in waiting:
        unshield(task)
    places = ", ".join(sorted({place for _, place in waiting})) or "nowhere in a scenario"
    return WorldError(
        f"this world has not ended within {limit_days:g} days of its own; there waits: {places} "
        "(more days: `World(limit_days=...)`)"
    )


def _below(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _below(child)


def _place(task: trio.lowlevel.Task) -> Iterator[str]:
    """Return the innermost line of a scenario or a brain at which a task waits, if there is one."""
    frames = [
        (frame, line)
        for frame, line in task.iter_await_frames()
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in NOBODYS
    ]
    if frames:
        frame, line = frames[-1]
        yield f"{Path(frame.f_code.co_filename).name}:{line}"
