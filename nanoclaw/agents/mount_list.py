"""The file `mounts.toml`: the folders of this machine that agents may be given.

It is outside of the project, in a place that no agent can reach. Only its owner gives anything away.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from attrs import Factory, evolve, field, frozen

from nanoclaw.config.errors import in_order
from nanoclaw.config.files import Unreadable, place, read_text
from nanoclaw.config.kinds import Name, Unfit
from nanoclaw.config.origins import KeyPath, Origin, Origins, dotted
from nanoclaw.config.structure import APART, Misfit, lines, structure
from nanoclaw.config.toml_lines import lines_of

FILE = "mounts.toml"
_HEADER = re.compile(r"\s*\[\[\s*allow\s*\]\]")
_KEY = re.compile(r"\s*([A-Za-z_]+)\s*=")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class BadMountList(Exception):
    """A `mounts.toml` that cannot be used; each of `problems` is one line."""

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = in_order(problems)
        super().__init__("; ".join(self.problems))


@frozen
class HostPath:
    """An absolute path of this machine; `~` is the user's home."""

    wanted: str = "an absolute path, or one that begins with ~"

    def read(self, value: object) -> Path:
        """Return the path. Links in it are not resolved."""
        try:
            path = Path(value).expanduser() if isinstance(value, str) and "\0" not in value else None
        except RuntimeError:
            path = None
        if path is None or not path.is_absolute() or ".." in path.parts:
            raise Unfit(self.wanted, value)
        return path


@frozen
class AllowedFolder:
    """A folder that agents may be given, with all below it."""

    path: Annotated[Path, HostPath()]
    """The folder or file."""
    read_only: bool = True
    """False lets agents write there, if their `container.json` asks for that."""
    agents: tuple[Name, ...] = ()
    """The folders of the agents that may be given it; empty for all agents."""
    unblocked: tuple[Name, ...] = ()
    """Blocked names that are allowed here all the same, such as `*.pem`."""


@frozen
class MountList:
    """A `mounts.toml`. Each key may be left out."""

    allow: tuple[AllowedFolder, ...] = ()
    """The tables `[[allow]]`."""
    blocked: tuple[Name, ...] = ()
    """More names that no agent is given: patterns such as `*.sqlite`."""
    file: Path = field(default=Path(FILE), kw_only=True, eq=False, metadata={APART: True})
    missing: bool = field(default=False, kw_only=True, eq=False, metadata={APART: True})
    """True if the file does not exist. Then nothing is allowed."""
    origins: Origins = field(
        default=Factory(Origins), kw_only=True, eq=False, repr=False, metadata={APART: True}
    )


def mount_list_file(chosen: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the place of the file: the chosen one, else that of this user.

    Raises:
        BadMountList: the home of this user is not known.
    """
    if chosen is not None:
        return chosen
    base = environ.get("XDG_CONFIG_HOME", "")
    try:
        folder = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    except RuntimeError as error:
        advice = "set [sandbox] mount_allowlist to the file with the folders that agents may be given"
        raise BadMountList(f"the home directory of this user is not known; {advice}") from error
    return folder / "nanoclaw" / FILE


def read_mount_list(file: Path, reach: Sequence[Path]) -> MountList:
    """Read the file. `reach` are the folders of the project, in which it must not be. Blocking.

    Raises:
        BadMountList: it cannot be used; each problem names the file, and the line and key if it has one.
    """
    try:
        text = read_text(file)
        lines_of(text)  # it bounds what tomllib has to parse
        values = tomllib.loads(text)
    except FileNotFoundError:
        return MountList(file=file, missing=True)
    except Unreadable as error:
        raise BadMountList(error.at(file)) from error
    except ValueError as error:
        raise BadMountList(f"{file}: cannot be read as TOML: {error}") from error
    origins = Origins(dict(_origins(text, file)))
    unsafe = list(_unsafe(file, reach))
    try:
        found = structure(values, MountList, base=file.parent)
    except Misfit as misfit:
        raise BadMountList(*unsafe, *lines(misfit.problems, origins)) from misfit
    if unsafe:
        raise BadMountList(*unsafe)
    return evolve(found, file=file, origins=origins)


def _unsafe(file: Path, reach: Sequence[Path]) -> Iterator[str]:
    """Find reasons why others than its owner may have written the file."""
    real = Path(os.path.realpath(file))
    for folder in reach:
        if real.is_relative_to(os.path.realpath(folder)):
            advice = "move it out, and name its place by [sandbox] mount_allowlist"
            yield f"{file}: is in {folder}, where agents may reach it; {advice}"
            break
    for each, mode in ((real, 600), (real.parent, 700)):
        found = each.stat()
        if found.st_mode & _OTHERS_WRITE:
            yield f"{each}: other users may write it ({stat.filemode(found.st_mode)}); `chmod {mode} {each}`"
        elif found.st_uid not in {0, os.geteuid()}:
            advice = f"`chown {os.geteuid()} {each}`"
            yield f"{each}: belongs to another user (uid {found.st_uid}), who may write it; {advice}"


def _origins(text: str, file: Path) -> Iterator[tuple[KeyPath, Origin]]:
    """Yield the lines of keys. A key of a file that writes its tables inline has none."""
    table: KeyPath = ()
    index = -1
    yield (), Origin(str(file), f"{file}:")
    for number, line in enumerate(text.splitlines(), 1):
        path: KeyPath
        if _HEADER.match(line):
            index += 1
            table = path = ("allow", index)
        elif (key := _KEY.match(line)) is not None:
            path = (*table, key[1])
        else:
            continue
        at = place(file, number)
        yield path, Origin(at, f"{at}: {dotted(path)}")
