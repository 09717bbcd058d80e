"""The files of the time zone database: their names, and the search by content or by rule."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from struct import Struct
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

from attrs import frozen

_HISTORY = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=15 * n) for n in range(1450)]
_YEAR = [datetime(2029, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
"""The days on which two zones are compared. They are fixed, so the result does not depend on the date."""
_PLACES = "zone1970.tab"
"""The database's list of zones, without their other names."""
_UTC = ("UTC", "Etc/UTC")
MAGIC = b"TZif"
_HEADER = Struct(">20x6I")
"""A header: the numbers of UT marks, standard marks, leap seconds, times, types, and letters."""


def is_zone(name: str) -> bool:
    """Return whether the database has a zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zone_names() -> list[str]:
    """Return the names of all zones, sorted."""
    return sorted(available_timezones())


# -- by content ------------------------------------------------------------------


def same_zone(content: bytes, hint: str | None) -> str | None:
    """Return the zone whose file has this content, else one with the same rule and offsets, else None.

    If several zones fit, `hint` is preferred.
    """
    if not _is_whole(content):
        return None
    files = dict(_files())
    equal = [name for name, its in files.items() if its == content]
    if not equal:  # a file of another version of the database
        equal = _alike(content, files, _HISTORY) or _alike(content, files, _YEAR)
    return hint if hint in equal else next(iter(_ranked(equal)), None)


def _is_whole(content: bytes) -> bool:
    """Return whether each part of a zone's file is as long as its header says (RFC 9636)."""
    second = _end_of_part(content, 0, 4)
    if second is None or content[4:5] < b"2":
        return second is not None
    end = _end_of_part(content, second, 8)
    return end is not None and content[end : end + 1] == b"\n" == content[-1:]


def _end_of_part(content: bytes, start: int, size: int) -> int | None:
    """Return the end of the part that begins at `start`; None if it is cut off. A time has `size` bytes."""
    if content[start : start + 4] != MAGIC or len(content) < start + _HEADER.size:
        return None
    utc, standard, leaps, times, types, letters = _HEADER.unpack_from(content, start)
    length = times * (size + 1) + types * 6 + letters + leaps * (size + 4) + standard + utc
    end: int = start + _HEADER.size + length
    return end if end <= len(content) else None


def _alike(content: bytes, files: Mapping[str, bytes], days: Sequence[datetime]) -> list[str]:
    """Return the zones with the same rule for the future, and the same offsets on these days."""
    footer, offsets = _footer(content), _offsets(content, days)
    if offsets is None:
        return []
    return [
        name
        for name, its in files.items()
        if footer in {None, _footer(its)} and _offsets(its, days) == offsets
    ]


def _files() -> Iterator[tuple[str, bytes]]:
    for name in zone_names():
        content = _content(name)
        if content is not None:
            yield name, content


def _content(name: str) -> bytes | None:
    """Return a file of the database, or None if there is none."""
    for folder in TZPATH:
        try:
            return (Path(folder) / name).read_bytes()
        except OSError:
            continue
    try:
        return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    except (OSError, ModuleNotFoundError):
        return None


def _footer(content: bytes) -> str | None:
    """Return the POSIX rule for the future, which files have since version 2."""
    match = re.search(rb"\n([^\n]*)\n\Z", content)
    return match[1].decode("ascii", "replace") if match else None


def _offsets(content: bytes, days: Sequence[datetime]) -> Sequence[timedelta | None] | None:
    """Return the offsets on these days, or None if the file is damaged."""
    try:
        zone = ZoneInfo.from_file(io.BytesIO(content))
        return [day.astimezone(zone).utcoffset() for day in days]
    except (ValueError, IndexError, EOFError, OverflowError):
        return None


def _ranked(names: Iterable[str], named: Sequence[str] = ()) -> list[str]:
    """Sort equal zones: those with the given names, UTC, those that the database lists, others."""
    first, listed = [*named, *_UTC], _listed()

    def rank(name: str) -> tuple[int, bool, str]:
        return first.index(name) if name in first else len(first), name not in listed, name

    return sorted(names, key=rank)


def _listed() -> frozenset[str]:
    """Return the zones in the database's list of places."""
    lines = (_content(_PLACES) or b"").decode("utf-8", "replace").splitlines()
    return frozenset(
        line.split("\t")[2] for line in lines if line.count("\t") > 1 and not line.startswith("#")
    )


# -- by rule ---------------------------------------------------------------------

_ABBREVIATION = r"(?:[A-Za-z]{3,10}|<[A-Za-z0-9+-]{3,10}>)"
_OFFSET = r"[+-]?[0-9]{1,3}(?::[0-9]{2}){0,2}"
_RULE = re.compile(
    rf"(?P<std>{_ABBREVIATION})(?P<offset>{_OFFSET})"
    rf"(?:(?P<dst>{_ABBREVIATION})(?P<dst_offset>{_OFFSET})?(?:,(?P<start>[^,]+),(?P<end>[^,]+))?)?"
)
_CHANGE = re.compile(rf"(?P<day>M[0-9]{{1,2}}\.[1-5]\.[0-6]|J?[0-9]{{1,3}})(?:/(?P<time>{_OFFSET}))?")
_TWO_O_CLOCK = 7200


@frozen
class _Rule:
    """A POSIX rule. Offsets and times are seconds; offsets count to the west."""

    offset: int
    dst_offset: int | None = None
    changes: tuple[tuple[str, int], ...] = ()
    """The beginning and end of summer time; empty if the rule does not say."""


def names_with_rule(text: str) -> list[str]:
    """Return the zones whose present rule is this POSIX rule, the best name first."""
    rule = _rule(text)
    if rule is None:
        return []
    abbreviations, named = _abbreviations(text), _names(text)
    footers = {name: footer for name, content in _files() if (footer := _footer(content))}
    agreeing = [name for name, footer in footers.items() if _agrees(rule, _rule(footer))]
    alike = [name for name in agreeing if _abbreviations(footers[name]) == abbreviations]
    if rule.dst_offset is not None and not rule.changes:
        # The text does not say when summer time begins. Only the abbreviations tell one place from another.
        return _ranked(alike, named)
    return _ranked(alike or agreeing, named)


def _agrees(rule: _Rule, other: _Rule | None) -> bool:
    """Return whether both rules have the same offsets, and the same changes if `rule` has any."""
    if other is None or (rule.offset, rule.dst_offset) != (other.offset, other.dst_offset):
        return False
    return not rule.changes or rule.changes == other.changes


def _rule(text: str) -> _Rule | None:
    match = _RULE.fullmatch(text)
    if match is None:
        return None
    offset = _seconds(match["offset"])
    if match["dst"] is None:
        return _Rule(offset)
    dst_offset = _seconds(match["dst_offset"]) if match["dst_offset"] else offset - 3600
    changes = [_CHANGE.fullmatch(match[key]) for key in ("start", "end") if match[key]]
    if None in changes:
        return None
    return _Rule(
        offset,
        dst_offset,
        tuple((one["day"], _seconds(one["time"]) if one["time"] else _TWO_O_CLOCK) for one in changes if one),
    )


def _abbreviations(text: str) -> tuple[str, str]:
    match = _RULE.fullmatch(text)
    return (match["std"], match["dst"] or "") if match else ("", "")


def _names(text: str) -> tuple[str, ...]:
    """Return names of zones that are made from such a rule instead of a place: EST5EDT, EST or Etc/GMT-3."""
    match = re.match(rf"({_ABBREVIATION})([+-]?)0*([0-9]+)({_ABBREVIATION})?", text)
    if match is None:
        return ()
    std, sign, hours, dst = match.groups("")
    return (f"{std}{sign.strip('+')}{hours}{dst}", std, f"Etc/GMT{sign or '+'}{hours}")


def _seconds(text: str) -> int:
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    total = sum(part * 60 ** (2 - n) for n, part in enumerate(parts))
    return int(-total if text.startswith("-") else total)
