"""Finds the IANA name of this machine's time zone, and says where it was found.

The order is that of the C library: `TZ`, then `/etc/localtime`. Where these name no zone, it is found by
content: `/etc/localtime` may be a copy of a zone's file, and `TZ` a POSIX rule such as
`CET-1CEST,M3.5.0,M10.5.0/3`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from nanoclaw.config.zone_files import is_zone, names_with_rule, same_zone, zone_names

UTC = "UTC"
ADVICE = 'set timezone = "Area/City" in config.toml'
_NAMING = ("etc/timezone", "var/db/zoneinfo")
"""Files whose first word is the name."""
_ASSIGNING = ("etc/sysconfig/clock", "etc/conf.d/clock")
"""Files that assign the name to ZONE or TIMEZONE."""
LONGEST = 1_000_000
"""Bytes that are read of a file. The files of zones have a few thousand."""


@frozen
class SystemZone:
    """The zone of the machine."""

    name: str
    source: str
    """Where it was found, for people."""
    doubt: str | None = None
    """The reason why it may be wrong, with advice; None if it is certain."""


def system_zone(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> SystemZone:
    """Return the zone of the machine whose files are below `root`: UTC, with a doubt, if none is found."""
    tz = (os.environ if environ is None else environ).get("TZ", "").strip()
    if not tz:
        return _of_files(root)
    found = _of_variable(tz, root)
    if found is not None:
        return found
    instead = _of_files(root)
    where = "" if instead.doubt else f" of {instead.source}"
    doubt = f"TZ is {tz!r:.80}, which is no time zone; {instead.name}{where} is used: {ADVICE}"
    return evolve(instead, doubt=doubt)


# -- the variable ----------------------------------------------------------------


def _of_variable(tz: str, root: Path) -> SystemZone | None:
    """Return the zone that `TZ` means: a file, a name in any case, or a POSIX rule."""
    value = tz.removeprefix(":")
    if value.startswith("/"):
        name = _of_path(root / value.lstrip("/"), None)
        return SystemZone(name, f"the variable TZ, which is {tz!r:.80}") if name else None
    if is_zone(value):
        return SystemZone(value, "the variable TZ")
    other_case = [name for name in zone_names() if name.lower() == value.lower()]
    for name in other_case or names_with_rule(value):
        return SystemZone(name, f"the variable TZ, which is {tz!r:.80}")
    return None


# -- the files -------------------------------------------------------------------


def _of_files(root: Path) -> SystemZone:
    """Return the zone of `/etc/localtime`, else the first valid one that another file names."""
    localtime, named = root / "etc/localtime", dict(_named(root))
    valid = {source: name for source, name in named.items() if is_zone(name)}
    hint = next(iter(valid.values()), None)
    name = _of_path(localtime, hint)
    if name is not None:
        return SystemZone(name, "/etc/localtime")
    wrong = [f"{source} says {name!r:.80}" for source, name in named.items() if source not in valid]
    if os.path.lexists(localtime):
        wrong.append("/etc/localtime is no file of a known zone")
    for source, name in valid.items():
        return SystemZone(name, source, _doubt(wrong, f"{name} of {source}") if wrong else None)
    return SystemZone(UTC, "no zone was found", _doubt(wrong or ["the system names none"], UTC))


def _doubt(wrong: Sequence[str], used: str) -> str:
    return f"the system's time zone cannot be read: {'; '.join(wrong)}; {used} is used: {ADVICE}"


def _of_path(path: Path, hint: str | None) -> str | None:
    """Return the zone that a path names or whose file it holds. `hint` decides between equal zones."""
    for step in _links(path):
        _, found, name = step.rpartition("zoneinfo/")
        name = re.sub(r"^(posix|right)/", "", name)
        if found and is_zone(name):
            return name
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return same_zone(file.read(LONGEST), hint)
    except OSError:
        return None


def _links(path: Path) -> Iterator[str]:
    """Yield a path and, while it is a link, the path that it leads to."""
    for _ in range(10):
        yield str(path)
        try:
            path = path.parent / path.readlink()
        except OSError:
            return


def _named(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the other files that name a zone, each with the name, which may be invalid."""
    for file in _NAMING:
        words = _text(root / file).split()
        if words:
            yield f"/{file}", words[0].strip("/")
    for file in _ASSIGNING:
        match = re.search(r'^\s*(?:TIME)?ZONE\s*=\s*"?([^"\s]+)', _text(root / file), re.MULTILINE)
        if match:
            yield f"/{file}", match[1]


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return "\n".join(line.partition("#")[0] for line in text.splitlines())
