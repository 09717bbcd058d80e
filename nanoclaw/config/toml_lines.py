"""The line on which each key of a TOML file stands. `tomllib` does not tell.

The text is split into statements, in time linear in its length. Only keys are parsed, and values that contain
inline tables.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

from attrs import define, field, frozen

from nanoclaw.config.files import MAX_DEPTH, TOO_DEEP, Unreadable
from nanoclaw.config.origins import KeyPath, dotted

_TOKEN = re.compile(
    r"""
    (?P<string> "{3} (?: [^"\\]+ | \\. | "(?!"") )*+ (?: "{3,5} )?
              | \'{3} (?: [^\']+ | \'(?!\'\') )*+ (?: \'{3,5} )?
              | " (?: [^"\\\n]+ | \\. )*+ "?
              | ' [^'\n]*+ '? )
    | (?P<comment> \# [^\n]*+ )
    | (?P<newline> \n (?: [ \t\r]*+ (?: \# [^\n]*+ )? \n )*+ )
    | (?P<comma> , (?: [^"'\#=.,\[\]{}]*+ , )*+ )
    | (?P<sign> [=.\[\]{}] )
    """,
    re.VERBOSE | re.DOTALL,
)
"""For speed, one token takes many blank lines and comments, or many plain items of an array."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@frozen
class Statement:
    """One statement: a header, or a key with its value."""

    line: int
    """The line it begins on, counted from 1."""
    text: str
    key_end: int
    """The index of its `=`; -1: it has none."""
    has_tables: bool
    """It contains an inline table."""

    @property
    def is_header(self) -> bool:
        """It begins a table."""
        return self.text.lstrip().startswith("[")

    def paths(self) -> list[KeyPath]:
        """The paths that it sets, below its table, outermost first. A statement that is wrong sets none."""
        key = self.text[: max(self.key_end, 0)].strip()
        if _BARE.fullmatch(key) and not self.has_tables:
            return [(key,)]
        alone = self.text if self.is_header or self.has_tables else f"{key} = 0"
        try:
            return list(_paths(tomllib.loads(alone)))
        except ValueError:
            return []


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """Return the line of each table and key, counted from 1; the first one where it comes again.

    The text may be wrong: a statement that cannot be parsed has no keys.

    Raises:
        Unreadable: tables and lists are nested too deeply; it names the line.
    """
    found: dict[KeyPath, int] = {}
    for line, paths in _whole_paths(text):
        for path in paths:
            found.setdefault(path, line)
    return found


def clash(text: str, line: int) -> str | None:
    """Return the error for the statement at a line if it sets a key again. None: it does not."""
    found: dict[KeyPath, int] = {}
    latest: tuple[int, list[KeyPath]] = (0, [])
    for first, paths in _whole_paths(text):
        if first > line:
            break
        for path in latest[1]:
            found.setdefault(path, latest[0])
        latest = first, paths
    for path in reversed(latest[1]):
        for size in range(len(path), 0, -1):
            if (earlier := path[:size]) in found:
                return _clash_text(path, earlier, found[earlier])
    return None


def _clash_text(path: KeyPath, earlier: KeyPath, line: int) -> str:
    if path == earlier:
        return f"{dotted(path)} is given twice, first on line {line}; remove one"
    return f"{dotted(path)} clashes with {dotted(earlier)} on line {line}; remove one"


def _whole_paths(text: str) -> Iterator[tuple[int, list[KeyPath]]]:
    """The line of each statement, and the paths that it sets."""
    table: KeyPath = ()
    for statement in _statements(text):
        paths = statement.paths()
        if statement.is_header:
            table = paths[-1] if paths else ()
        yield statement.line, paths if statement.is_header else [(*table, *path) for path in paths]


def _paths(value: object) -> Iterator[KeyPath]:
    """The paths of what a statement sets, outermost first."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (key,)
            yield from ((key, *path) for path in _paths(below))
    elif isinstance(value, list):
        for below in value:
            yield from _paths(below) if isinstance(below, dict) else ()


# -- statements -----------------------------------------------------------------


@define
class _Depth:
    """The number of tables and lists around a place, dotted keys included."""

    dots: list[int] = field(factory=lambda: [0])
    """The dots of the current key, for each open bracket."""
    total: int = 0

    @property
    def outside(self) -> bool:
        """No bracket is open."""
        return len(self.dots) == 1

    def read(self, sign: str) -> None:
        if sign in "[{":
            self.dots.append(0)
            self.total += 1
        elif sign == ".":
            self.dots[-1] += 1
            self.total += 1
        elif sign in "]}" and not self.outside:
            self.total -= self.dots.pop() + 1

    def end_key(self) -> None:
        self.total -= self.dots[-1]
        self.dots[-1] = 0


@define
class _Begun:
    """The statement that is being read."""

    begin: int
    line: int
    key_end: int = -1
    has_tables: bool = False

    def read(self, sign: str, index: int) -> None:
        if sign == "{":
            self.has_tables = True
        elif sign == "=" and self.key_end < 0:
            self.key_end = index - self.begin

    def ended(self, text: str, end: int) -> Statement:
        return Statement(self.line, text[self.begin : end], self.key_end, self.has_tables)


def _statements(text: str) -> Iterator[Statement]:
    text = "\n{}\n".format(text.replace("\r\n", "\n"))
    depth, line, begun = _Depth(), 0, _Begun(0, 0)
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        if kind == "newline":
            if depth.outside:
                if (ended := begun.ended(text, token.start())).text.strip():
                    yield ended
                begun = _Begun(token.end(), line + found.count("\n"))
            depth.end_key()
        elif kind == "comma":
            depth.end_key()
        elif kind == "sign":
            begun.read(found, token.start())
            depth.read(found)
            if depth.total > MAX_DEPTH:
                raise Unreadable(TOO_DEEP, line)
        line += found.count("\n")
