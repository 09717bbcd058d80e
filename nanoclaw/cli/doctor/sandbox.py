"""The doctor's look at sandboxes: engine, image, bubblewrap, bounds, mounts and the reserve of the disk.

What the configured runtime needs is a problem where it is missing. The rest is named for a better choice.
"""

import json
import os
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

from attrs import evolve

from nanoclaw.agents.mount_list import BadMountList
from nanoclaw.agents.mounts import MountPolicy
from nanoclaw.cli.config_checks import mount_problems, read_containers
from nanoclaw.cli.doctor.findings import Finding, Level
from nanoclaw.cli.installation import read_install_id
from nanoclaw.config import Config, ConfigError
from nanoclaw.config.kinds import printable
from nanoclaw.runtimes import Limits, Packages
from nanoclaw.runtimes.bubblewrap import BubblewrapConfig
from nanoclaw.runtimes.bubblewrap.installing import version_of
from nanoclaw.runtimes.bubblewrap.packages import folder_of
from nanoclaw.runtimes.docker import DockerConfig
from nanoclaw.runtimes.docker.address import NoSocket, engine_socket
from nanoclaw.runtimes.factory import read_runtime
from nanoclaw.runtimes.images import agent_context, agent_image
from nanoclaw.runtimes.images.builds import own_order
from nanoclaw.setup.sandboxes import Found, bubblewrap, engine
from nanoclaw.system.disk_use import free_bytes
from nanoclaw.system.resources import ResourceMissing

ANSWER_S = 5.0
MOST = 10
"""Problems of mounts that are named."""
ISOLATING = ("docker", "bubblewrap")
GIB = 1 << 30


def sandbox(config: Config) -> Iterator[Finding]:
    """Look at all that sandboxes need. Blocking."""
    name, settings = config.sandbox.runtime, _docker(config)
    found = engine(os.environ, settings.socket)
    yield _look("engine", found, used=name == "docker", more=_version(settings) if found.works else "")
    if found.works:
        yield _image(settings, used=name == "docker")
    trial = bubblewrap(os.environ, _bubblewrap(config).program)
    yield _look("bubblewrap", trial, used=name == "bubblewrap")
    yield _limits(config, bubblewrap_works=trial.works)
    yield from _packages(config)
    yield from _mounts(config)
    yield _reserve(config)


def _look(area: str, found: Found, *, used: bool, more: str = "") -> Finding:
    if found.works:
        return Finding(area, "ok", f"{found.words}{more}")
    if used:
        advice = found.advice or "until then messages wait"
        return Finding(area, "problem", found.words, advice)
    return Finding(area, "ok", f"not in use, and does not work here: {found.sentence}")


# -- the engine ------------------------------------------------------------------


def _docker(config: Config) -> DockerConfig:
    """Return the settings of the engine; the defaults where another runtime is chosen, or they are wrong."""
    settings = _settings(config)
    return settings if isinstance(settings, DockerConfig) else DockerConfig()


def _bubblewrap(config: Config) -> BubblewrapConfig:
    """Return the settings of bubblewrap; the defaults as for `_docker`."""
    settings = _settings(config)
    return settings if isinstance(settings, BubblewrapConfig) else BubblewrapConfig()


def _settings(config: Config) -> object:
    try:
        return read_runtime(config)[1]
    except ConfigError:  # reported with the configuration
        return None


class _Engine(HTTPConnection):
    """A connection to an engine."""

    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=ANSWER_S)
        self.path = path

    def connect(self) -> None:
        """Connect to its socket."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(os.fspath(self.path))


def _asked(settings: DockerConfig, path: str) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the answer of an engine.

    Raises:
        OSError: it does not answer.
    """
    try:
        connection = _Engine(engine_socket(settings.socket, os.environ))
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(1 << 20)
        connection.close()
        return answer.status, json.loads(text)
    except (HTTPException, NoSocket, ValueError) as error:
        raise OSError(f"its answer cannot be read: {error}") from error


def _version(settings: DockerConfig) -> str:
    try:
        _, answer = _asked(settings, "/version")
    except OSError:
        return ""
    return f", version {answer.get('Version', 'unknown')!s:.40}"


def _image(settings: DockerConfig, *, used: bool) -> Finding:
    try:
        name = settings.image or own_order(settings.recipe).image
        status, _ = _asked(settings, f"/images/{name}/json")
    except (OSError, ResourceMissing) as error:
        return Finding("image", "warning", f"not known: {error}", "look with `nanoclaw image list`")
    if status == 200:  # noqa: PLR2004 -- HTTP
        return Finding("image", "ok", f"{name} is there")
    advice = "`nanoclaw image build` makes it"
    if settings.image is not None:
        advice = f"`docker pull {name}` gets it"
    return Finding("image", "warning" if used else "ok", f"{name} is not there", advice if used else "")


# -- packages --------------------------------------------------------------------


def _packages(config: Config) -> Iterator[Finding]:
    """Say which agents do not have their approved packages yet."""
    containers, _ = read_containers(config.groups)  # what cannot be read is reported with the configuration
    for folder, container in containers.items():
        packages = Packages(container.packages.apt, container.packages.pip, container.packages.npm)
        if packages != Packages():
            yield _packages_of(config, folder, packages, container.image)


def _packages_of(config: Config, folder: str, packages: Packages, image: str | None) -> Finding:
    own = evolve(packages, apt=())
    match config.sandbox.runtime:
        case "docker":
            there = _image_of(config, folder, packages, image)
            advice = f"`nanoclaw image build --agent {folder}` builds its image, or says why not"
        case "bubblewrap":
            there = own == Packages() or (folder_of(config.groups / folder) / version_of(own)).is_dir()
            advice = "they come with a later start of the agent; `nanoclaw status` says why if they do not"
        case _:
            return Finding("packages", "ok", f"not looked for: {folder} runs in no sandbox of ours")
    if there is None:
        return Finding("packages", "ok", f"not known for {folder} while its engine does not answer")
    if there:
        return Finding("packages", "ok", f"those of {folder} are there")
    return Finding("packages", "warning", f"those of {folder} are not all there", advice)


def _image_of(config: Config, folder: str, packages: Packages, image: str | None) -> bool | None:
    """Return True if an agent's own image is there, None if that cannot be known."""
    settings = _docker(config)
    try:
        base = image or settings.image or own_order(settings.recipe).image
        own = agent_image(read_install_id(config), folder, agent_context(base, packages, settings.recipe))
        status, _ = _asked(settings, f"/images/{own}/json")
    except (OSError, ResourceMissing, ConfigError):
        return None
    return status == 200  # noqa: PLR2004 -- HTTP


# -- bounds ----------------------------------------------------------------------


def _limits(config: Config, *, bubblewrap_works: bool) -> Finding:
    """Say what bounds a sandbox of the configured runtime on this machine."""
    bounds, name = config.sandbox, config.sandbox.runtime
    wanted = f"{_gib(bounds.memory)} memory, {bounds.processes} processes, {bounds.cpus:g} cpus"
    if name == "docker":
        return Finding("limits", "ok", f"the engine bounds each sandbox: {wanted}")
    if name != "bubblewrap":
        return Finding("limits", "ok", f"the runtime {name} bounds nothing", "")
    if not bubblewrap_works:
        return Finding("limits", "warning", "not known while bubblewrap does not work", "see bubblewrap")
    from nanoclaw.runtimes.bubblewrap.groups import find_maker  # noqa: PLC0415 -- only for this runtime
    from nanoclaw.runtimes.bubblewrap.limits import Means, limits_in_force  # noqa: PLC0415

    maker = find_maker()
    means = Means() if maker is None else maker.means
    words = limits_in_force(Limits(bounds.memory, bounds.processes, bounds.cpus), means)
    text = "; ".join(f"{what}: {how}" for what, how in words.items())
    if not words.keys() <= means.covers:
        return Finding("limits", "warning", text, "run the host as a user service of systemd to bound all")
    return Finding("limits", "ok", text)


# -- mounts and the disk ---------------------------------------------------------


def _mounts(config: Config) -> Iterator[Finding]:
    containers, _ = read_containers(config.groups)  # what cannot be read is reported with the configuration
    given = sum(len(each.mounts) for each in containers.values())
    try:
        listed = MountPolicy.read(config, os.environ).listed
    except BadMountList as error:
        level: Level = "problem" if given else "warning"
        for problem in error.problems[:MOST]:
            yield Finding("mounts", level, problem, "correct it; until then no folder is mounted")
        return
    problems = list(mount_problems(config, containers)) if config.sandbox.runtime in ISOLATING else []
    for problem in problems[:MOST]:
        yield Finding("mounts", "problem", problem, "" if "; " in problem else "correct container.json")
    if problems:
        return
    if listed.missing:
        how = "docs/how-to/give-an-agent-a-folder.md says how to make it"
        yield Finding("mounts", "ok", f"no agent may have a folder: {listed.file} is missing ({how})")
    else:
        text = f"{listed.file} allows {len(listed.allow)} folders, and agents have {given} mounts"
        yield Finding("mounts", "ok", text)


def _reserve(config: Config) -> Finding:
    reserve = config.sandbox.disk_reserve
    there = next(each for each in (config.data, *config.data.parents) if each.is_dir())
    try:
        free = free_bytes(there)
    except OSError as error:
        return Finding("reserve", "warning", f"{printable(str(there))}: {error.strerror}", "look with `df`")
    text = f"{_gib(free)} are free, and {_gib(reserve)} are kept free for the host"
    if free < reserve and config.sandbox.runtime in ISOLATING:
        return Finding("reserve", "problem", f"no sandbox starts: {text}", "free some space")
    return Finding("reserve", "ok", text)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size >> 20} MiB"
