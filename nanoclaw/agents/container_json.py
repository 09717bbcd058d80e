"""`container.json` in an agent group's folder: provider, image, mounts and limits of its containers.

Only the host reads it, and no container sees it: an agent that could write it could give itself mounts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from attrs import Factory, evolve, field, frozen

from nanoclaw.config.errors import in_order
from nanoclaw.config.files import TOO_DEEP, Unreadable, place, read_text
from nanoclaw.config.json_lines import JsonLines, json_lines
from nanoclaw.config.kinds import Access, Bytes, Name, Number, Text, Unfit
from nanoclaw.config.model import ModelLayer
from nanoclaw.config.origins import Origin, Origins, dotted
from nanoclaw.config.passed_variables import CONTRACT
from nanoclaw.config.structure import APART, MAX_PROBLEMS, Form, Misfit, lines, structure

FILE = "container.json"
_TAKEN = tuple(map(PurePosixPath, ("/workspace", "/opt/nanoclaw", "/proc", "/sys", "/dev")))


class BadContainerJson(Exception):
    """A `container.json` that cannot be used; each of `problems` is one line, in the order of the file."""

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = in_order(problems)
        super().__init__("; ".join(self.problems))


# -- kinds of values ------------------------------------------------------------


@frozen
class Target:
    """A path at which a container sees a mount."""

    wanted: str = (
        "an absolute path in the container, outside of /workspace, /opt/nanoclaw, /proc, /sys and /dev"
    )

    def read(self, value: object) -> PurePosixPath:
        """Return the path."""
        path = PurePosixPath(value) if isinstance(value, str) and "\0" not in value else None
        if path is None or not path.is_absolute() or ".." in path.parts or str(path).startswith("//"):
            raise Unfit(self.wanted, value)
        if any(path.is_relative_to(taken) or taken.is_relative_to(path) for taken in _TAKEN):
            raise Unfit(self.wanted, value)
        return path


@frozen
class Variable:
    """The name of an environment variable that the host does not set itself."""

    wanted: str = "the name of a variable"

    def read(self, value: object) -> str:
        """Return the name."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise Unfit(self.wanted, value)
        if value in CONTRACT or value.startswith("NANOCLAW_"):
            raise Unfit(f"{self.wanted} that the host does not set itself", value)
        return value


_VERSION = r"[A-Za-z0-9.!*+~:_-]{1,100}"
_PACKAGES = {
    "apt": re.compile(rf"[a-z0-9][a-z0-9.+-]{{1,100}}(={_VERSION})?"),
    "pip": re.compile(
        rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,100}}(\[[A-Za-z0-9,._-]{{1,100}}\])?((==|>=|<=|~=|!=|<|>){_VERSION})?"
    ),
    "npm": re.compile(rf"(@[a-z0-9][a-z0-9._-]{{0,100}}/)?[a-z0-9][a-z0-9._-]{{0,100}}(@[~^]?{_VERSION})?"),
}


@frozen
class PackageName:
    """The name of a package, with a version. It is no address, no path and no option of an installer."""

    installer: str

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        return f"the name of a package of {self.installer}, with or without a version"

    def read(self, value: object) -> str:
        """Return the name."""
        if not isinstance(value, str) or not _PACKAGES[self.installer].fullmatch(value):
            raise Unfit(self.wanted, value)
        return value


@frozen
class WebAddress:
    """The address of a server that speaks HTTP."""

    wanted: str = "an address such as https://mcp.example.com/mcp"

    def read(self, value: object) -> str:
        """Return the address."""
        try:
            parts = urlsplit(value if isinstance(value, str) and value.isprintable() else "")
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in str(value)
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise Unfit(self.wanted, value)
        return str(value)


@frozen
class Header:
    """A value or a name of a header of HTTP."""

    wanted: str = "printable ASCII"

    def read(self, value: object) -> str:
        """Return it."""
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise Unfit(self.wanted, value)
        return value


_Words = Annotated[str, Text("a string", blank=True)]
_Header = Annotated[str, Header()]
_Count = Annotated[int, Number(at_least=1, whole=True)]


# -- the file -------------------------------------------------------------------


@frozen
class McpServer:
    """A server of the Model Context Protocol: a program that the runner starts, or an address."""

    command: Name | None = None
    """The program. Either it or `url` must be given."""
    args: tuple[_Words, ...] = ()
    """Its arguments."""
    env: Mapping[_Words, _Words] = Factory(dict)
    """Its variables."""
    url: Annotated[str, WebAddress()] | None = None
    """The address of a server that speaks HTTP, which the agent's network must allow."""
    headers: Mapping[_Header, _Header] = field(factory=dict, repr=False)
    """Headers of requests to that address. The agent can read them."""

    def problem(self) -> str | None:
        """Return what is wrong with it as a whole, or None."""
        if (self.command is None) == (self.url is None):
            return "must have either command or url"
        if self.command is None and (self.args or self.env):
            return "has a url, so it takes headers, not args or env"
        if self.url is None and self.headers:
            return "has a command, so it takes args and env, not headers"
        return None

    def described(self) -> Mapping[str, object]:
        """Return it as the runner is told (contract 1)."""
        if self.url is not None:
            return {"url": self.url, "headers": dict(self.headers)}
        return {"command": self.command, "args": list(self.args), "env": dict(self.env)}


@frozen
class Grant:
    """A folder or file of the host that is mounted in the agent's containers."""

    source: Path
    """The place on the host; a relative one is below the agent group's folder."""
    target: Annotated[PurePosixPath, Target()]
    """The place in the container."""
    read_only: bool = True
    """Containers may only read it."""


@frozen
class LimitsConfig:
    """Upper bounds for a container, in place of those of `[sandbox]`."""

    memory: Annotated[int, Bytes()] | None = None
    """Memory."""
    processes: _Count | None = None
    """Processes and threads."""
    cpus: Annotated[float, Number(at_least=0.01)] | None = None
    """Processors; 0.5 is half of one."""
    disk: Annotated[int, Bytes()] | None = None
    """Space of the workspace and the session's `outbound` together."""


@frozen
class PackagesConfig:
    """Packages of an agent's sandbox. Each is a name, with a version in the words of its installer."""

    apt: tuple[Annotated[str, PackageName("apt")], ...] = ()
    """Debian packages, such as `ffmpeg`; only in images."""
    pip: tuple[Annotated[str, PackageName("pip")], ...] = ()
    """Python packages, such as `requests` or `requests==2.32`."""
    npm: tuple[Annotated[str, PackageName("npm")], ...] = ()
    """Node packages, such as `cowsay` or `@scope/name@1.2`."""


@frozen
class ContainerConfig:
    """A `container.json`. Its keys are these fields in camelCase; each may be left out."""

    provider: Name | None = None
    """The provider of sessions that have none of their own."""
    model: ModelLayer = Factory(ModelLayer)
    """The model of sessions that have none of their own: the keys of `[model]`, in camelCase."""
    mcp_servers: Mapping[Name, McpServer] = Factory(dict)
    """Servers by name, for the runner."""
    image: Name | None = None
    """The container's image. Left out, the runtime's own."""
    mounts: tuple[Grant, ...] = ()
    """Mounts besides the contract's."""
    limits: LimitsConfig = Factory(LimitsConfig)
    """Upper bounds for a container."""
    network: Access | None = None
    """The sites that the agent may reach, as in `[sandbox] network`. Left out, that decides."""
    packages: PackagesConfig = Factory(PackagesConfig)
    """Packages that the agent's sandbox has besides those of the image."""
    env: Mapping[Annotated[str, Variable()], _Words] = Factory(dict)
    """Variables of the runner besides the contract's."""
    origins: Origins = field(factory=Origins, kw_only=True, eq=False, repr=False, metadata={APART: True})
    """The line of each value."""


def read_container_json(folder: Path) -> ContainerConfig:
    """Read the file of an agent group's folder; one that is missing has no keys. Blocking.

    Raises:
        BadContainerJson: it cannot be used; each problem names the file, the line and the whole key.
    """
    file = folder / FILE
    try:
        return container_of(read_text(file), folder)
    except FileNotFoundError:
        return ContainerConfig()
    except Unreadable as error:
        raise BadContainerJson(error.at(file)) from error


def container_of(text: str, folder: Path) -> ContainerConfig:
    """Return what a text says as the `container.json` of a folder.

    Raises:
        BadContainerJson: it cannot be used; each problem names the file, the line and the whole key.
    """
    file = folder / FILE
    try:
        values = parsed(text)
        found = json_lines(text)
    except Unreadable as error:
        raise BadContainerJson(error.at(file)) from error
    origins = _origins(found, file)
    problems = [*islice(_repeated(found, file), MAX_PROBLEMS)]
    try:
        container = structure(values, ContainerConfig, base=folder, form=_JSON)
    except Misfit as misfit:
        raise BadContainerJson(*problems, *lines(misfit.problems, origins)) from misfit
    problems += _server_problems(container, file, found)
    if problems:
        raise BadContainerJson(*problems)
    return evolve(container, origins=origins)


def _server_problems(container: ContainerConfig, file: Path, found: JsonLines) -> Iterator[str]:
    for name, server in container.mcp_servers.items():
        if problem := server.problem():
            path = ("mcpServers", name)
            yield f"{place(file, found.lines[path])}: {dotted(path)} {problem}"


def parsed(text: str) -> dict[str, Any]:
    """Return the object of a text, unchecked. Raises Unreadable."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"cannot be read as JSON: {error.msg}, in column {error.colno}"
        raise Unreadable(reason, error.lineno) from error
    except (ValueError, RecursionError) as error:  # a number that is too long, or deep nesting
        reason = TOO_DEEP if isinstance(error, RecursionError) else str(error).split("; ")[0]
        raise Unreadable(f"cannot be read as JSON: {reason}") from error
    if not isinstance(value, dict):
        raise Unreadable("must be a JSON object")
    return value


def _origins(found: JsonLines, file: Path) -> Origins:
    places = {path: place(file, line) for path, line in found.lines.items()}
    return Origins({path: Origin(at, f"{at}: {dotted(path)}") for path, at in places.items()})


def _repeated(found: JsonLines, file: Path) -> Iterator[str]:
    for path, line in found.repeated.items():
        first = found.lines[path]
        yield f"{place(file, line)}: {dotted(path)} is given twice, first on line {first}; remove one"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_JSON = Form(rename=_camel, table="an object", split=False)
