"""The line on which each key of a TOML file stands. `tomllib` does not tell."""

import tomllib
from collections.abc import Iterator, Mapping

from nanoclaw.config.origins import KeyPath


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """Return the line of each table and key, counted from 1; the first one where a table comes again.

    A statement of TOML is parsed alone: the fewest lines that `tomllib` accepts. The text as a whole may be
    wrong (one key twice): then the first place of a key counts.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement, value in _statements(text):
        header = statement.lstrip().startswith("[")
        paths = list(_paths(value))
        if header:
            table = paths[-1] if paths else ()
        for path in paths:
            found.setdefault(path if header else (*table, *path), line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, object]]]:
    """The statements that can be parsed, with their first lines."""
    pending, first = "", 1
    for number, line in enumerate(text.split("\n"), start=1):  # str.splitlines splits at more than TOML does
        pending, first = f"{pending}{line}\n", first if pending else number
        try:
            value = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        yield first, pending, value
        pending = ""


def _paths(value: object) -> Iterator[KeyPath]:
    """The paths of what a statement sets, outermost first."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (key,)
            yield from ((key, *path) for path in _paths(below))
    elif isinstance(value, list):
        for below in value:
            yield from _paths(below) if isinstance(below, dict) else ()
