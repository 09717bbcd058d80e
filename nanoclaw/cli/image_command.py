"""`nanoclaw image`: builds and lists the images of sandboxes."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import trio
from attrs import evolve, frozen

from nanoclaw.agents import BadContainerJson, read_container_json
from nanoclaw.cli.client import until_signal
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.parsing import Command, Group
from nanoclaw.cli.places import Places, with_places
from nanoclaw.cli.tables import table
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.runtimes.images import BuildFailed, Progress
from nanoclaw.runtimes.protocol import Packages

FAILED = 1
"""Exit code: an image could not be built."""
BUILD = (
    "Build the image of all agents' sandboxes, and those of agents with packages of their own. What is there "
    "already is not built again. A running host takes a new image for the next start of a sandbox."
)
BUILD_CODES = "Exit codes: 0 all images are there; 1 one could not be built; 2 the configuration cannot be used."
COLUMNS = ("image", "agent", "size", "created", "used")
_json = click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")


@click.group(name="image", cls=Group, short_help="build and list the images of sandboxes")
def image() -> None:
    """Build and list the images of sandboxes. They are for the `docker` runtime."""


@frozen
class _Built:
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


@image.command("build", cls=Command, help=BUILD, short_help="build the missing images", epilog=BUILD_CODES)
@click.option("--agent", metavar="FOLDER", help="only the image of this agent, and the one that it needs")
@click.option("--base-image", metavar="IMAGE", help="begin with this image, instead of the configured one")
@click.option("--again", is_flag=True, help="build also what is there")
@click.option("--verbose", is_flag=True, help="print all that the engine says")
@_json
@with_places
def build(places: Places, *, as_json: bool, agent: str | None, **how: Any) -> int:
    """Build what is missing; returns the exit code."""
    config, built = _config(places), list[_Built]()

    async def run() -> int:
        with ungrouped(EngineError):
            async for each in _Work(_images(config, how["base_image"]), config, how["again"], how["verbose"]).all(agent):
                built.append(each)
        return 0

    code = _asked(run)
    if code == 0 and as_json:
        show(json.dumps([each.as_json() for each in built], indent=2, ensure_ascii=False))
    elif code == 0:
        show("\n".join(each.line() for each in built))
    return code or (FAILED if any(each.error for each in built) else 0)


@frozen
class _Work:
    """The images to build, one after the other."""

    images: Images
    config: Config
    again: bool
    verbose: bool

    async def all(self, agent: str | None) -> AsyncIterator[_Built]:
        """Build the image of all agents, then those of agents. One that fails does not keep back the others."""
        await self.images.refresh()
        base = self.images.configured
        if base is None:
            own = await self.images.own()
            base, built = own.image, await self._built(own)
            yield built
            if built.error:
                return
        for folder, packages, named in _agents(self.config, agent):
            yield await self._built(self.images.of_agent(folder, named or base, packages))

    async def _built(self, order: Order) -> _Built:
        if self.images.has(order) and not self.again:
            return _Built(order.image, order.purpose, 0.0, already=True)
        tell(f"Building {order.purpose}, {order.image} ...")
        began = trio.current_time()
        try:
            await self.images.build(order, self._report)
        except (BuildFailed, OSError) as error:
            return _Built(order.image, order.purpose, trio.current_time() - began, already=False, error=str(error))
        return _Built(order.image, order.purpose, trio.current_time() - began, already=False)

    def _report(self, progress: Progress) -> None:
        if progress.step is not None:
            tell(f"  {progress.step}/{progress.steps} {progress.text[:100]}")
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


@image.command("list", cls=Command)
@_json
@with_places
def list_(places: Places, *, as_json: bool) -> int:
    """List the images of sandboxes that the engine has."""
    config, rows = _config(places), list[Mapping[str, Any]]()

    async def run() -> int:
        with ungrouped(EngineError):
            engine = _images(config, None).builder.engine
            found = await engine.call(lambda api: api.images(name=REPOSITORY))
            rows.extend(_rows(found))
        return 0

    code = _asked(run)
    if code == 0 and as_json:
        show(json.dumps(rows, indent=2))
    elif code == 0 and rows:
        show("\n".join(table(rows, COLUMNS, ZoneInfo(config.timezone))))
    elif code == 0:
        tell("There is none yet; run `nanoclaw image build`.")
    return code


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


# -- both ------------------------------------------------------------------------


def _config(places: Places) -> Config:
    return load_config(home=places.home, file=places.config, flags=places.flags)


def _images(config: Config, base_image: str | None) -> Images:
    """Return the images of the configured engine. `base_image` counts for this build only."""
    settings = docker_settings(config)
    images = settings.images(install_id(config))
    return images if base_image is None else evolve(images, recipe=evolve(images.recipe, base_image=base_image))


def _asked(main: Callable[[], Awaitable[int]]) -> int:
    try:
        return trio.run(until_signal, main)
    except EngineError as error:
        raise ConfigError(str(error)) from error
