"""The line on which each key of a JSON text stands. `json` does not tell."""

import re
from collections.abc import Iterator
from json import loads
from typing import Final

from attrs import Factory, define

from nanoclaw.config.files import MAX_DEPTH, TOO_DEEP, Unreadable
from nanoclaw.config.origins import KeyPath

_TOKEN: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"|[{}\[\],:]|\n|[^\s{}\[\],:"]+', re.DOTALL)


@define
class JsonLines:
    """The lines of the keys of an object, and the keys that are given twice."""

    tokens: Iterator[tuple[str, int]]
    lines: dict[KeyPath, int] = Factory(dict)
    """The first line of each key and item, counted from 1."""
    repeated: dict[KeyPath, int] = Factory(dict)
    """The last line of each key that is given twice."""

    def read(self, path: KeyPath, found: str) -> None:
        """Read a value that begins with `found`."""
        if found in {"{", "["} and len(path) >= MAX_DEPTH:
            raise Unreadable(TOO_DEEP, self.lines[path])
        if found == "{":
            self._read_object(path)
        elif found == "[":
            self._read_array(path)

    def _read_object(self, path: KeyPath) -> None:
        for found, line in self.tokens:
            if found == "}":
                return
            if found == ",":
                continue
            below = (*path, loads(found))
            if below in self.lines:
                self.repeated[below] = line
            self.lines.setdefault(below, line)
            next(self.tokens)  # the colon
            self.read(below, next(self.tokens)[0])

    def _read_array(self, path: KeyPath) -> None:
        index = 0
        for found, line in self.tokens:
            if found == "]":
                return
            if found == ",":
                index += 1
                continue
            self.lines[(*path, index)] = line
            self.read((*path, index), found)


def json_lines(text: str) -> JsonLines:
    """Find the lines of a text that is known to be JSON.

    Raises:
        Unreadable: objects and arrays are nested too deeply; it names the line.
    """
    found = JsonLines(_tokens(text))
    found.read((), next(found.tokens)[0])
    return found


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for token in _TOKEN.finditer(text):
        if token[0] == "\n":
            line += 1
        else:
            yield token[0], line
