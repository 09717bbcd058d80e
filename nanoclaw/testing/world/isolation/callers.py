"""The caller of a replaced function: the nearest relevant frame, or the task if there is none."""

import sys
from collections.abc import Iterable
from types import FrameType

import trio

LOGGERS = frozenset({"logging", "structlog"})
"""Packages that get the virtual date."""
MACHINERY = frozenset(
    {"trio", "pytest", "_pytest", "pytest_trio", "pluggy", "hypothesis", "xdist", "execnet", "coverage"}
)
"""Packages that run a test. Their own use of real things has no effect on the world."""
NOBODY = frozenset({"", "outcome", "attr", "attrs"})
"""Packages that call functions which other packages pass to them."""
GENERATED = "<attrs generated"
"""The file name of code that attrs generates. It has no lines to show."""
GENERATED_TOO = "_dflt_"
"""A variable in code that `dataclasses` generates. The file name of that code, `<string>`, is ambiguous."""
OURS = frozenset({"nanoclaw.testing", "nanoclaw.simulation"})
_OWN = __name__.rpartition(".")[0]


def package(frame: FrameType | None) -> str:
    """Return the package of a frame; for NanoClaw's own code, return the part."""
    module = _module(frame)
    top = module.partition(".")[0]
    return ".".join(module.split(".")[:2]) if top == "nanoclaw" else top


def place(frame: FrameType) -> str:
    """Return a frame's file and line."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def caller(frame: FrameType | None, passed_by: frozenset[str]) -> FrameType | None:
    """Return the nearest frame of this task that is not in the standard library and not passed by.

    Return None if no other frame exists, as with `nursery.start_soon(trio.to_thread.run_sync, f)`: the
    code that runs trio did not make the call.
    """
    root = _root()
    while frame is not None:
        if _is_somebody(frame, passed_by):
            return frame
        if frame is root:
            break
        frame = frame.f_back
    return None


def beneath(passed_by: frozenset[str]) -> FrameType | None:
    """Return the frame of this task's nursery, or of the nearest one above that is relevant."""
    task = _task()
    while task is not None and task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        found = _last(frame for frame, _ in task.iter_await_frames() if _is_somebody(frame, passed_by))
        if found is not None:
            return found
    return None


def task_place() -> str:
    """Return the file, line and name of this task's coroutine."""
    task, root = _task(), _root()
    return f"{place(root)}, task {task.name}" if task is not None and root is not None else "somebody"


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _is_somebody(frame: FrameType, passed_by: frozenset[str]) -> bool:
    module = _module(frame)
    top = module.partition(".")[0]
    if top in LOGGERS:
        return True
    if top in sys.stdlib_module_names or top in passed_by or module.startswith(_OWN):
        return False
    code = frame.f_code
    return not code.co_filename.startswith(GENERATED) and not any(
        GENERATED_TOO in name for name in code.co_freevars
    )


def _last(frames: Iterable[FrameType]) -> FrameType | None:
    found = None
    for found in frames:  # noqa: B007 -- the last one is wanted
        pass
    return found


def _task() -> trio.lowlevel.Task | None:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return None


def _root() -> FrameType | None:
    task = _task()
    return None if task is None else getattr(task.coro, "cr_frame", None)
