"""`container.json` in an agent group's folder: what its containers are made of.

The host alone reads it, and no container sees it: an agent that could write it could grant itself mounts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from attrs import Factory, frozen

from nanoclaw.config.kinds import Name, Number, Text, Unfit
from nanoclaw.config.origins import dotted
from nanoclaw.config.structure import Misfit, structure

FILE = "container.json"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_TAKEN = (PurePosixPath("/workspace"), PurePosixPath("/proc"), PurePosixPath("/sys"), PurePosixPath("/dev"))
_OURS = frozenset(
    {
        "AGENT_PROVIDER",
        "TZ",
        "PYTHONPATH",
        *(f"SESSION_{name}_PATH" for name in ("INBOUND_DB", "OUTBOUND_DB")),
    }
    | {"SESSION_HEARTBEAT_PATH"}
)


class BadContainerJson(Exception):
    """A `container.json` that cannot be used; each of `problems` is one line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: Sequence[str] = problems


# -- kinds of values ------------------------------------------------------------


@frozen
class Bytes:
    """A size in bytes, also as a string with a unit such as `512M`."""

    wanted: str = 'a size of at least 4M: bytes, or a string such as "512M"'

    def read(self, value: object) -> int:
        """Return the number of bytes."""
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)", value) if isinstance(value, str) else None
        size = int(match[1]) * _UNITS[match[2]] if match else value
        if isinstance(size, bool) or not isinstance(size, int) or not 4 * _UNITS["M"] <= size < 2**63:
            raise Unfit(self.wanted, value)
        return size


@frozen
class Target:
    """Where a container sees a mount."""

    wanted: str = "an absolute path in the container, outside of /workspace, /proc, /sys and /dev"

    def read(self, value: object) -> PurePosixPath:
        """Return the path."""
        path = PurePosixPath(value) if isinstance(value, str) and "\0" not in value else None
        if path is None or not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
            raise Unfit(self.wanted, value)
        if any(path.is_relative_to(taken) for taken in _TAKEN) or str(path).startswith("//"):
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
        if value in _OURS or value.startswith("NANOCLAW_"):
            raise Unfit(f"{self.wanted} that the host does not set itself", value)
        return value


_Words = Annotated[str, Text("a string", blank=True)]
_Count = Annotated[int, Number(at_least=1, whole=True)]


# -- the file -------------------------------------------------------------------


@frozen
class McpServer:
    """A server of the Model Context Protocol, which the runner starts."""

    command: Name
    """The program."""
    args: tuple[_Words, ...] = ()
    """Its arguments."""
    env: Mapping[_Words, _Words] = Factory(dict)
    """Its variables."""


@frozen
class Grant:
    """A folder or file of the host that the agent's containers may see."""

    source: Path
    """The place on the host; a relative one is below the agent group's folder."""
    target: Annotated[PurePosixPath, Target()]
    """The place in the container."""
    read_only: bool = True
    """Whether containers may only read it."""


@frozen
class LimitsConfig:
    """The most that a container may use."""

    memory: Annotated[int, Bytes()] | None = None
    """Memory."""
    processes: _Count | None = None
    """Processes and threads."""
    cpus: Annotated[float, Number(at_least=0.01)] | None = None
    """Processors; 0.5 is half of one."""


@frozen
class ContainerConfig:
    """A `container.json`. Its keys are these fields in camelCase; each may be left out."""

    provider: Name | None = None
    """What answers, unless a session has its own provider."""
    mcp_servers: Mapping[Name, McpServer] = Factory(dict)
    """Servers by name, for the runner."""
    image: Name | None = None
    """The container's image. Left out, the runtime's own."""
    mounts: tuple[Grant, ...] = ()
    """What its containers see besides the contract's mounts."""
    limits: LimitsConfig = Factory(LimitsConfig)
    """The most that a container may use."""
    network: Literal["full", "none"] | None = None
    """Whether containers reach the network; left out, what the runtime does by itself."""
    env: Mapping[Annotated[str, Variable()], _Words] = Factory(dict)
    """Variables of the runner besides the contract's."""


def read_container_json(folder: Path) -> ContainerConfig:
    """Read the file of an agent group's folder; one that is missing has no keys. Blocking.

    Raises:
        BadContainerJson: it cannot be used; each problem names the file and the whole key.
    """
    file = folder / FILE
    try:
        value: Any = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ContainerConfig()
    except (OSError, ValueError, RecursionError) as error:
        raise BadContainerJson(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadContainerJson(f"{file}: must be a JSON object")
    try:
        return structure(value, ContainerConfig, base=folder, rename=_camel, split=False)
    except Misfit as misfit:
        problems = (f"{file}: {dotted(problem.path)} {problem.text}" for problem in misfit.problems)
        raise BadContainerJson(*problems) from misfit


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
