"""Regular expressions that people and agents write. No pattern can stop the host.

RE2 matches in linear time. Where it is not installed, `re` matches in a process that is killed at a limit.
"""

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, Protocol

from attrs import field, frozen

from nanoclaw.records.checking import storable_text

try:
    re2: Any = import_module("re2")
except ImportError:  # it has no wheel for this platform
    re2 = None

MAX_MEMORY = 1 << 20
"""Bytes that one compiled pattern may use. A larger pattern is refused."""
BRIEF_COST = 2_000_000
"""Steps of a match that the event loop may do itself: less than 10 ms. A longer match runs in a thread."""
MAX_COST = 1_000_000_000
"""Steps of the longest match: 2 s in a thread. One that would cost more is not tried."""
MAX_KEPT = 256
"""Compiled patterns that are kept."""
MAX_SHOWN = 200
"""Characters of a bad pattern that its error shows."""
PROCESS_LIMIT_S = 2.0
"""Seconds after which a process that matches with `re` is killed."""

ADVICE = (
    r"patterns are those of RE2, which has no look-around, no back-references, no possessive quantifiers and "
    r"no \Z (write \z), and whose \w, \d, \s and \b know ASCII only"
)
"""The part of an error that says what a pattern cannot have."""

_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
sys.stdout.write(str(int(re.search(pattern, text, re.IGNORECASE) is not None)))
"""


class BadPattern(ValueError):
    """A text is no regular expression that the host can match. The text says why."""


class TooCostly(Exception):
    """A match was given up, because it would take too long. The text says why."""


class InThread(Protocol):
    """Runs a blocking call in a worker thread."""

    def __call__(self, call: Callable[[], bool], /) -> Awaitable[bool]:
        """Run the call and return its result."""
        ...


@frozen
class Pattern:
    """A regular expression, compiled once. It ignores case, and is searched for anywhere in a text."""

    text: str
    size: int
    """Number of instructions. A match costs at most this number of steps for each byte of a text."""
    _compiled: Any = field(eq=False, repr=False)
    """RE2's own object, or None where RE2 is not installed."""

    async def is_in(self, text: str, in_thread: InThread) -> bool:
        """Return whether it matches somewhere in a text. A match that could take long runs in a thread.

        Raises:
            TooCostly: the match would take too long, or its process was killed.
        """
        if self._compiled is None:
            return await in_thread(partial(_search_in_process, self.text, text))
        cost = self.size * len(text)
        if cost <= BRIEF_COST:
            return self._compiled.search(text) is not None
        if cost > MAX_COST:
            raise TooCostly(f"the text has {len(text):,} characters, too many for this pattern")
        return await in_thread(lambda: self._compiled.search(text) is not None)


@lru_cache(maxsize=MAX_KEPT)
def compiled(text: str) -> Pattern:
    """Return the pattern with this text.

    Raises:
        BadPattern: it is no pattern of RE2; of `re`, where RE2 is not installed.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadPattern(f"{_shown(text)} has half of a character, a lone surrogate") from error
    return _compiled_by_re(text) if re2 is None else _compiled_by_re2(text)


def _compiled_by_re2(text: str) -> Pattern:
    options = re2.Options()
    options.case_sensitive, options.never_capture, options.log_errors = False, True, False
    options.max_mem = MAX_MEMORY
    try:
        found = re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
        where = _place(text, reason)
        raise BadPattern(f"{_shown(text)} is not a regular expression ({reason}{where}); {ADVICE}") from error
    return Pattern(text, found.programsize, found)


def _place(text: str, reason: str) -> str:
    """Return the place of an error in words, or nothing if it concerns the whole pattern.

    RE2 names the part that is wrong, `re` the place of the errors that it has in common with RE2.
    """
    _, _, part = reason.partition(": ")
    at = text.find(part) if part and part != text else _error_of_re(text)
    return "" if at is None or at < 0 else f", at character {at + 1}"


def _error_of_re(text: str) -> int | None:
    try:
        _checked_by_re(text)
    except (re.error, OverflowError, RecursionError) as error:
        return error.pos if isinstance(error, re.error) else None
    return None


def _checked_by_re(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        re.compile(text, re.IGNORECASE)


def _shown(text: str) -> str:
    """Return a pattern as an error shows it, in quotes and without doubled backslashes."""
    return f'"{storable_text(text[:MAX_SHOWN])}{"…" * (len(text) > MAX_SHOWN)}"'


# -- without RE2 -----------------------------------------------------------------


def _compiled_by_re(text: str) -> Pattern:
    try:
        _checked_by_re(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"{_shown(text)} is not a regular expression ({error})") from error
    return Pattern(text, len(text), None)


def _search_in_process(pattern: str, text: str) -> bool:
    """Search with `re` in a process of its own. Blocking.

    Raises:
        TooCostly: the process was killed at the limit, or failed.
    """
    given = json.dumps([pattern, text])
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        found = subprocess.run(
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PROCESS_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooCostly(f"the match took more than {PROCESS_LIMIT_S:g} s") from None
    except OSError as error:
        raise TooCostly(f"the process that matches it cannot be started: {error}") from error
    if found.stdout not in {"0", "1"}:
        raise TooCostly(f"the process that matches it failed with code {found.returncode}")
    return found.stdout == "1"
