"""Searches files for a regular expression: `python -m agent_runner.sandbox.searching PATTERN [GLOB]`.

It takes the place of ripgrep where that is missing, and writes the same lines. It searches the working
directory and imports nothing of the runner, so that it starts fast. The one who starts it limits its time.
"""

import importlib
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from fnmatch import translate
from typing import Any

LARGEST = 50 * 1024 * 1024
"""Bytes of a file that is searched."""
DEEPEST = 200
"""Nested folders. `os.walk` recurses."""
LONGEST_LINE = 300
"""Characters of a line that are shown."""
Find = Callable[[bytes], Iterator["re.Match[bytes]"]]

FOUND, NOTHING, WRONG = 0, 1, 2
"""Exit codes, as those of ripgrep."""


def main(pattern: str, glob: str) -> int:
    """Write the lines that fit, and return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        find = _compiled(pattern)
    except ValueError as error:
        sys.stderr.write(f"the pattern cannot be used: {error}\n")
        return WRONG
    fits = re.compile(translate(glob)).match if glob else None
    code = NOTHING
    for path in _files(fits):
        for number, line in _matches(_read(path), find):
            code = FOUND
            sys.stdout.write(f"{path}:{number}:{line}\n")
    return code


def _compiled(pattern: str) -> Find:
    """Return a function that finds the matches in a file, none over several lines. Raises ValueError."""
    multiline = f"(?m){pattern}".encode("utf-8", "replace")
    try:
        re2: Any = importlib.import_module("re2")
    except ImportError:
        try:
            return re.compile(multiline).finditer
        except re.error as error:
            raise ValueError(str(error)) from error
    options = re2.Options()
    options.log_errors, options.never_nl = False, True
    try:
        find: Find = re2.compile(multiline, options).finditer
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error
    return find


def _files(fits: Callable[[str], object] | None) -> Iterator[str]:
    for root, folders, files in os.walk("."):
        deep = root.count("/") >= DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = os.path.join(root, name)[2:]  # noqa: PTH118 -- faster, for many files
            if fits is None or fits(name) or fits(path):
                yield path


def _matches(data: bytes, find: Find) -> Iterator[tuple[int, str]]:
    """Yield the lines in which a match begins, each once, in time that is linear in the size of the file."""
    number, counted, end = 1, 0, -1
    if not data:
        return
    for match in find(data):
        at = match.start()
        if at <= end:
            continue
        start, after = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        end = len(data) if after < 0 else after
        number, counted = number + data.count(b"\n", counted, start), start
        yield (
            number,
            data[start:end][: 4 * LONGEST_LINE].decode("utf-8", "replace")[:LONGEST_LINE].rstrip("\r"),
        )


def _read(path: str) -> bytes:
    """Return a regular text file that is not too large; of others, nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return b""
        try:
            data = file.read(LARGEST)
        except OSError:
            return b""
    return b"" if b"\0" in data[:8192] else data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))  # noqa: PLR2004 -- as the docstring says
