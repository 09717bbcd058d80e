"""A one-line summary of an error: what was raised and where, the same in every process."""

import re
import sys
from pathlib import Path
from traceback import walk_tb

NOT_OF_THE_CALLER = (
    frozenset({"actors", "nanoclaw", "agent_runner", "trio", "outcome"}) | sys.stdlib_module_names
)
"""Packages whose lines say nothing about the brain."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def summary_of(error: BaseException) -> str:
    """Return an error's type and text, and the brain's file and line that raised it, if there is one.

    A group with one error is reported as that error.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = _ADDRESS.sub("", " ".join(str(error).split()))
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    where = _where(error)
    return f"{what} ({where})" if where else what


def _where(error: BaseException) -> str | None:
    """Return the innermost line in the file of the first frame that may belong to a brain."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in NOT_OF_THE_CALLER
    ]
    lines = [line for file, line in frames if file == frames[0][0]]
    return f"{Path(frames[0][0]).name}:{lines[-1]}" if frames else None
