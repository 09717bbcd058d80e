"""The kinds of values that a setting may have, as annotations of the fields of its table.

A kind reads a value of a TOML file, or the text of a variable or flag. It says what the value must be.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen

from nanoclaw.records.network import BadSite, Mode, NetworkRule, Site

MAX_SHOWN = 200
"""Characters of a wrong value that an error shows."""


class Unfit(ValueError):
    """A value that a kind refuses. `wanted` completes "must be"."""

    def __init__(self, wanted: str, value: object) -> None:
        super().__init__(f"must be {wanted}, got {shown(value)}")
        self.wanted = wanted


def shown(value: object) -> str:
    """Return a value as errors show it: one bounded line of printable characters."""
    text = repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    text = printable(text)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def printable(text: str) -> str:
    """Return a text with escapes in the place of characters that a terminal obeys or does not show."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


@runtime_checkable
class Kind(Protocol):
    """Reads the value of a setting."""

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        ...

    def read(self, value: object, /) -> object:
        """Return the value as its field has it.

        Raises:
            Unfit: it is not of this kind.
        """
        ...


@frozen
class Number:
    """A finite number; `or_zero` admits 0 below `at_least`."""

    at_least: float = 0.0
    whole: bool = False
    or_zero: bool = False

    @property
    def wanted(self) -> str:
        bound = "" if self.at_least == float("-inf") else f" of at least {self.at_least:.15g}"
        return f"{'0 or ' * self.or_zero}a {'whole ' * self.whole}number{bound}"

    def read(self, value: object) -> float:
        try:
            number = float(value) if isinstance(value, str | int | float) and not _is_bool(value) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not self._fits(number):
            raise Unfit(self.wanted, value)
        return int(number) if self.whole else number

    def _fits(self, number: float) -> bool:
        enough = self.at_least <= number < float("inf") or (self.or_zero and number == 0)
        return enough and not (self.whole and number != int(number))


@frozen
class Text:
    """A string without NUL.

    `blank` admits one that is empty or blank. `printed`: users see it, so it has no control characters.
    """

    wanted: str = "a non-empty string"
    blank: bool = False
    printed: bool = False

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not (value.strip() or self.blank) or "\0" in value:
            raise Unfit(self.wanted, value)
        if self.printed and not value.isprintable():
            raise Unfit(f"{self.wanted} of printable characters", value)
        return value


@frozen
class Switch:
    """True or false."""

    wanted: str = "true or false"

    def read(self, value: object) -> bool:
        if _is_bool(value):
            return bool(value)
        if value not in {"true", "false"}:
            raise Unfit(self.wanted, value)
        return value == "true"


@frozen
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(self.words)}"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise Unfit(self.wanted, value)
        return value


@frozen
class Zone:
    """A time zone by its IANA name."""

    wanted: str = "an IANA time zone such as Europe/Berlin"

    def read(self, value: object) -> str:
        try:
            ZoneInfo(Text(self.wanted).read(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Unfit(self.wanted, value) from None
        return str(value)


@frozen
class Place:
    """A path; relative to `base`, and `~` is the user's home."""

    base: Path
    wanted: str = "a path"

    def read(self, value: object) -> Path:
        if isinstance(value, Path):
            return value
        if not isinstance(value, str) or not value or "\0" in value:
            raise Unfit(self.wanted, value)
        try:
            return (self.base / Path(value).expanduser()).absolute()
        except RuntimeError:
            raise Unfit("a path that does not begin with ~ and an unknown user", value) from None


@frozen
class Items:
    """A list; where they are `split`, also words with commas between them, as in variables."""

    wanted: str = "a list"
    split: bool = True

    def read(self, value: object) -> list[object]:
        if isinstance(value, str) and self.split:
            return [item.strip() for item in value.split(",") if item.strip()]
        if not isinstance(value, list | tuple):
            raise Unfit(self.wanted, value)
        return list(value)


@frozen
class Words:
    """A command: a list of words, or a string that is split as a shell would split it."""

    wanted: str = "a list of words"

    def read(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self._split(value)
        return tuple(Text().read(word) for word in Items(self.wanted).read(value))

    def _split(self, text: str) -> tuple[str, ...]:
        try:
            return tuple(Text().read(word) for word in shlex.split(text))
        except ValueError as error:
            raise Unfit(f"{self.wanted} or a string that a shell can split ({error})", text) from error


@frozen
class Bytes:
    """A size in bytes, or a string with a unit such as `512M`."""

    at_least: str = "4M"

    @property
    def wanted(self) -> str:
        return f'a size of at least {self.at_least}: bytes, or a string such as "512M"'

    def read(self, value: object) -> int:
        size = _bytes(value)
        if isinstance(size, bool) or not isinstance(size, int) or not _bytes(self.at_least) <= size < 2**63:
            raise Unfit(self.wanted, value)
        return size


_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _bytes(value: object) -> Any:
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)", value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else value


_MODES: Mapping[str, Mode] = {"none": "none", "ask": "ask", "open": "open", "full": "open"}
"""Rules by their words. `full` is the word of older files."""


@frozen
class NetworkAccess:
    """The access to the network: `none`, `ask`, `open`, or a list of sites."""

    wanted: str = 'none, ask, open, or a list of sites such as "example.org" or "*.python.org:443"'

    def read(self, value: object) -> NetworkRule:
        if isinstance(value, str) and value in _MODES:
            return NetworkRule(_MODES[value])
        if not isinstance(value, str | list | tuple):
            raise Unfit(self.wanted, value)
        if isinstance(value, str) and re.fullmatch(r"[\w-]*", value):  # a word with a mistake is no site
            raise Unfit(self.wanted, value)
        sites = Items(self.wanted, split=True).read(value)
        return NetworkRule("listed", tuple(self._site(site) for site in sites))

    def _site(self, value: object) -> Site:
        try:
            return Site.of(Text(self.wanted).read(value))
        except BadSite as error:
            raise Unfit(f"{self.wanted} ({error})", value) from error


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


Seconds = Annotated[float, Number()]
Command = Annotated[tuple[str, ...], Words()]
ZoneName = Annotated[str, Zone()]
Name = Annotated[str, Text(printed=True)]
Access = Annotated[NetworkRule, NetworkAccess()]
