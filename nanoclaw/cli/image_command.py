"""`nanoclaw image`: builds, lists and removes the images of sandboxes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zoneinfo import ZoneInfo

import click
import trio

from nanoclaw.cli.client import until_signal
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.parsing import Command, Group
from nanoclaw.cli.places import Places, with_places
from nanoclaw.cli.tables import table
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.runtimes.docker import EXTRA

FAILED = 1
"""Exit code: an image could not be built."""
BUILD = (
    "Build the image of all agents' sandboxes, and those of agents with packages of their own. What is there "
    "already is not built again. A running host takes a new image for the next start of a sandbox."
)
BUILD_CODES = (
    "Exit codes: 0 all images are there; 1 one could not be built; 2 the configuration cannot be used."
)
PRUNE = (
    "Remove the images of other versions of NanoClaw, of earlier packages, and of agents that are gone. An "
    "earlier image stays while the one in its place is not built. A host of another version that shares the "
    "engine builds its image again."
)
COLUMNS = ("image", "agent", "size_mb", "created")
_json = click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")


@click.group(name="image", cls=Group, short_help="build and list the images of sandboxes")
def image() -> None:
    """Build, list and remove the images of sandboxes. They are for the `docker` runtime."""


@image.command("build", cls=Command, help=BUILD, short_help="build the missing images", epilog=BUILD_CODES)
@click.option("--agent", metavar="FOLDER", help="only the image of this agent, and the one that it needs")
@click.option("--base-image", metavar="IMAGE", help="begin with this image, instead of the configured one")
@click.option("--again", is_flag=True, help="build also what is there")
@click.option("--verbose", is_flag=True, help="print all that the engine says")
@_json
@with_places
def build(places: Places, *, as_json: bool, agent: str | None, **how: Any) -> int:
    """Build what is missing; returns the exit code."""
    config = _config(places)
    with _needing_docker():
        from nanoclaw.cli.images import Built, Work, images_of  # noqa: PLC0415 -- see that module's docstring

    built, work = (
        list[Built](),
        Work(images_of(config, how["base_image"]), config, how["again"], how["verbose"]),
    )

    async def run() -> int:
        built.extend([each async for each in work.all(agent)])
        return 0

    if (code := trio.run(until_signal, run)) != 0:
        return code
    if as_json:
        show(json.dumps([each.as_json() for each in built], indent=2, ensure_ascii=False))
    elif built:
        show("\n".join(each.line() for each in built))
    return FAILED if any(each.error for each in built) else 0


@image.command("list", cls=Command, short_help="list the images of sandboxes")
@_json
@with_places
def list_(places: Places, *, as_json: bool) -> int:
    """List the images of sandboxes that the engine has."""
    config = _config(places)
    with _needing_docker():
        from nanoclaw.cli.images import listed  # noqa: PLC0415 -- see that module's docstring

    rows = list[Mapping[str, Any]]()

    async def run() -> int:
        rows.extend(await listed(config))
        return 0

    if (code := trio.run(until_signal, run)) != 0:
        return code
    if as_json:
        show(json.dumps(rows, indent=2))
    elif rows:
        show("\n".join(table(rows, COLUMNS, ZoneInfo(config.timezone))))
    else:
        tell("There is none yet; run `nanoclaw image build`.")
    return 0


@image.command("prune", cls=Command, help=PRUNE, short_help="remove the images that nobody needs")
@_json
@with_places
def prune(places: Places, *, as_json: bool) -> int:
    """Remove images; returns the exit code."""
    config = _config(places)
    with _needing_docker():
        from nanoclaw.cli.images import pruned  # noqa: PLC0415 -- see that module's docstring

    found = list[tuple[str, str]]()

    async def run() -> int:
        found.extend([each async for each in pruned(config)])
        return 0

    if (code := trio.run(until_signal, run)) != 0:
        return code
    if as_json:
        rows = [{"image": name, "removed": not kept, "reason": kept or None} for name, kept in found]
        show(json.dumps(rows, indent=2, ensure_ascii=False))
    elif found:
        show("\n".join(f"{name}  stays: {kept}" if kept else f"{name}  removed" for name, kept in found))
    else:
        tell("There is none to remove.")
    return 0


def _config(places: Places) -> Config:
    return load_config(home=places.home, file=places.config, flags=places.flags)


@contextmanager
def _needing_docker() -> Iterator[None]:
    """Raise ConfigError if the client of the engine is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"the package {error.name} is not installed: {EXTRA}") from error
