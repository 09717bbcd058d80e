"""The origin of each value of the configuration, and the name that errors give it."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

KeyPath = tuple[str | int, ...]
"""The way to a value: table, key, and below that keys and indices."""


def dotted(path: KeyPath) -> str:
    """Return a path as people write it, such as `delivery.backoff_s[1]`."""
    return _after(path).removeprefix(".")


def _after(path: KeyPath) -> str:
    """Return a path as it follows the path of its table."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_quoted(part)}" for part in path)


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f"{part!r}"


@frozen
class Origin:
    """The place of one value."""

    place: str
    """A file with its line, a variable, a flag, or `default`."""
    label: str
    """The place, and the key as it is written there. Errors begin with it."""


DEFAULT: Final = "default"


@frozen
class Origins:
    """The origins of values by their paths. A value without an origin is a default."""

    by_path: Mapping[KeyPath, Origin] = field(factory=dict)

    def place(self, path: KeyPath) -> str:
        """Return the place of a value, or `default`."""
        origin = self.by_path.get(path)
        return DEFAULT if origin is None else origin.place

    def label(self, path: KeyPath) -> str:
        """Return the beginning of an error about a value: its place and its whole key."""
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
        """Yield the origins of a path and of the tables around it, the nearest first."""
        for size in range(len(path), -1, -1):
            found = self.by_path.get(path[:size])
            if found is not None:
                yield path[:size], found


@frozen
class NamedTable:
    """A table `[<room>.<name>]`. Its channel or runtime declares the class of its keys."""

    name: str
    values: Mapping[str, object] = field(factory=dict, repr=False)
    """The values as they were given. They may be secrets, so no text shows them."""
    origins: Origins = field(factory=Origins, eq=False, repr=False)
    """The origins of `values`, by paths that begin below the table."""

    @property
    def type(self) -> object:
        """The value of its key `type`; by default its own name."""
        return self.values.get("type", self.name)
