"""Where each value of the configuration comes from, and how errors name it."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

KeyPath = tuple[str | int, ...]
"""The way to a value: table, key, and below that keys and indices."""


def dotted(path: KeyPath) -> str:
    """A path as people write it, such as `delivery.backoff_s[1]`."""
    return _after(path).removeprefix(".")


def _after(path: KeyPath) -> str:
    """A path as it follows that of its table."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_quoted(part)}" for part in path)


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f"{part!r}"


@frozen
class Origin:
    """The place of one value."""

    place: str
    """A file with its line, a variable, a flag, or `default`."""
    label: str
    """The place and the key as it is written there, to begin an error with."""


DEFAULT: Final = "default"


@frozen
class Origins:
    """The origins of values by their paths; what is missing is a default."""

    by_path: Mapping[KeyPath, Origin] = field(factory=dict)

    def place(self, path: KeyPath) -> str:
        """The place of a value, or `default`."""
        origin = self.by_path.get(path)
        return DEFAULT if origin is None else origin.place

    def label(self, path: KeyPath) -> str:
        """The beginning of an error about a value: where it stands and its whole key."""
        for known, origin in self._above(path):
            return origin.label + _after(path[len(known) :])
        return dotted(path)

    def of_tables(self, room: str) -> Mapping[str | int, "Origins"]:
        """Return the origins of each table in `room`. Paths begin below the table; its own path is `()`."""
        found: dict[str | int, dict[KeyPath, Origin]] = {}
        for path, origin in self.by_path.items():
            if path[0] == room and len(path) > 1:
                found.setdefault(path[1], {})[path[2:]] = origin
        return {name: Origins(below) for name, below in found.items()}

    def _above(self, path: KeyPath) -> Iterator[tuple[KeyPath, Origin]]:
        """The origins of a path and of what it lies in, the nearest first."""
        for size in range(len(path), -1, -1):
            found = self.by_path.get(path[:size])
            if found is not None:
                yield path[:size], found


@frozen
class NamedTable:
    """A table `[<room>.<name>]`; the class of its keys is declared by the channel or runtime it names."""

    name: str
    values: Mapping[str, object] = field(factory=dict, repr=False)
    """As they were given: they may hold secrets, so they are in no text."""
    origins: Origins = field(factory=Origins, eq=False, repr=False)
    """Of `values`, by paths that begin below the table."""

    @property
    def type(self) -> object:
        """What the table names as its type; by default its own name."""
        return self.values.get("type", self.name)
