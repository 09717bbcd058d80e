"""Builds and lists images for `nanoclaw image`. It imports the client of the engine, which takes 170 ms."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import trio
from attrs import frozen

from nanoclaw.agents import BadContainerJson, read_container_json
from nanoclaw.agents.container_json import FILE
from nanoclaw.cli.installation import read_install_id
from nanoclaw.cli.output import tell
from nanoclaw.config import Config, ConfigError, NamedTable, read_table
from nanoclaw.runtimes.docker import DockerConfig
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import EngineError
from nanoclaw.runtimes.images import (
    AGENT_LABEL,
    REPOSITORY,
    BuildFailed,
    ImageMissing,
    Images,
    Order,
    Progress,
)
from nanoclaw.runtimes.protocol import Packages
from nanoclaw.system.foreign import ungrouped

LONGEST_LINE = 100
"""Characters of a step of a build that are shown."""


@frozen
class Built:
    """An image that is there, and how it came to be so."""

    image: str
    purpose: str
    seconds: float
    already: bool
    error: str = ""

    def line(self) -> str:
        """Return it as a line for people."""
        if self.error:
            return f"{self.purpose} could not be built: {self.error}"
        if self.already:
            return f"{self.image}  {self.purpose}, was there already"
        return f"{self.image}  {self.purpose}, built in {self.seconds:.0f} s"

    def as_json(self) -> Mapping[str, object]:
        """Return it for programs."""
        return {
            "image": self.image,
            "purpose": self.purpose,
            "built": not self.already and not self.error,
            "seconds": round(self.seconds, 1),
            "error": self.error or None,
        }


# -- build -----------------------------------------------------------------------


@frozen
class Work:
    """The images to build, one after the other."""

    images: Images
    config: Config
    again: bool
    verbose: bool

    async def all(self, agent: str | None) -> AsyncIterator[Built]:
        """Build the image of all agents, then those of agents. One that fails does not keep back the others.

        Raises:
            ConfigError: the engine is away, or a container.json cannot be used.
        """
        base = self.images.configured or ""
        with _as_configuration():
            await self.images.refresh()
            own = await self.images.own() if not base else None
        if own is not None:
            base, built = own.image, await self._built(own)
            yield built
            if built.error:
                return
        agents = list(_agents(self.config, agent))
        if agents and not self.images.install_id:
            tell("Images of agents are built once a host has run here.")
            return
        for folder, packages, named in agents:
            yield await self._built(
                await trio.to_thread.run_sync(self.images.of_agent, folder, named or base, packages)
            )

    async def _built(self, order: Order) -> Built:
        if self.images.has(order) and not self.again:
            return Built(order.image, order.purpose, 0.0, already=True)
        tell(f"Building {order.purpose}, {order.image} ...")
        began = trio.current_time()
        try:
            await self.images.build(order, self._report)
        except (BuildFailed, OSError) as error:
            return Built(
                order.image, order.purpose, trio.current_time() - began, already=False, error=str(error)
            )
        return Built(order.image, order.purpose, trio.current_time() - began, already=False)

    def _report(self, progress: Progress) -> None:
        if progress.step is not None:
            tell(f"  {progress.step}/{progress.steps} {progress.text[:LONGEST_LINE]}")
        elif self.verbose:
            tell(f"    {progress.text}")


def _agents(config: Config, only: str | None) -> Iterator[tuple[str, Packages, str | None]]:
    """Yield the agents with packages, and the image that each names. Raises ConfigError."""
    folders = sorted(file.parent for file in config.groups.glob(f"*/{FILE}"))
    if only is not None and not (config.groups / only).is_dir():
        raise ConfigError(f"{config.groups} has no folder {only!r:.140}; name the folder of an agent")
    for folder in folders:
        if only in {None, folder.name}:
            try:
                container = read_container_json(folder)
            except BadContainerJson as error:
                raise ConfigError(*error.problems) from error
            packages = Packages(container.packages.apt, container.packages.pip, container.packages.npm)
            if packages != Packages():
                yield folder.name, packages, container.image


# -- list ------------------------------------------------------------------------


async def listed(config: Config) -> Sequence[Mapping[str, Any]]:
    """Return our images, the newest first, as rows. Raises ConfigError."""
    with _as_configuration():
        found = await engine_of(config).call(lambda api: api.images(name=REPOSITORY))
    return list(_rows(found))


def _rows(found: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for each in sorted(found, key=lambda each: -each["Created"]):
        for name in each["RepoTags"] or ():
            labels = each["Labels"] or {}
            created = datetime.fromtimestamp(each["Created"], UTC).isoformat(timespec="seconds")
            yield {
                "image": name,
                "agent": labels.get(AGENT_LABEL),
                "size_mb": round(each["Size"] / 1e6),
                "created": created.replace("+00:00", "Z"),
            }


# -- prune -----------------------------------------------------------------------


async def pruned(config: Config) -> AsyncIterator[tuple[str, str]]:
    """Remove the images that nobody needs. Yield each, and why it stays if it does. Raises ConfigError."""
    images, engine = images_of(config, None), engine_of(config)
    with _as_configuration():
        await images.refresh()
        base = images.configured or (await images.own()).image
        useless = images.useless(base, await trio.to_thread.run_sync(_wanted, images, config, base))
    for image in useless:
        yield image, await _removed(engine, image)


def _wanted(images: Images, config: Config, base: str) -> Mapping[str, str]:
    """Return the image of each agent with packages. Blocking. Raises ConfigError, ImageMissing."""
    try:
        return {
            folder: images.of_agent(folder, named or base, packages).image
            for folder, packages, named in _agents(config, None)
        }
    except OSError as error:
        raise ImageMissing(f"the wheels cannot be read: {error}", built=False) from error


async def _removed(engine: Engine, image: str) -> str:
    """Remove an image; return why that is not possible, or an empty text."""

    def remove(api: Any) -> None:
        api.remove_image(image)

    try:
        with ungrouped(EngineError):
            await engine.call(remove, what=image)
    except EngineError as error:
        return str(error)
    return ""


# -- both ------------------------------------------------------------------------


def settings(config: Config) -> DockerConfig:
    """Return the table `[runtimes.docker]`. Raises ConfigError."""
    return read_table(config.runtimes.get("docker", NamedTable("docker")), DockerConfig, base=config.home)


def engine_of(config: Config) -> Engine:
    """Return the configured engine."""
    return Engine(settings(config).socket)


def images_of(config: Config, base_image: str | None) -> Images:
    """Return the images of the configured engine. `base_image` is for this build only. Raises ConfigError."""
    docker = settings(config)
    images = Images(
        EngineBuilder(Engine(docker.socket)), docker.recipe, read_install_id(config), configured=docker.image
    )
    return images if base_image is None else images.from_base(base_image)


@contextmanager
def _as_configuration() -> Iterator[None]:
    """Raise errors of an engine, and of the files of a build, as those of the configuration."""
    try:
        with ungrouped(EngineError, ImageMissing):
            yield
    except (EngineError, ImageMissing) as error:
        raise ConfigError(str(error)) from error
