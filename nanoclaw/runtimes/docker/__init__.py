"""The `docker` runtime: a container of docker or podman for each runner.

The client of the engine takes 170 ms to import, so this module imports it only when the runtime is made.
"""

import os
from pathlib import Path
from typing import Annotated

from attrs import frozen

from nanoclaw.config import ConfigError
from nanoclaw.config.kinds import Name, Number
from nanoclaw.runtimes.docker.meanwhile import other_runtimes
from nanoclaw.runtimes.factory import RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.images import Images, Recipe
from nanoclaw.runtimes.images.recipe import BASE, forwarded
from nanoclaw.runtimes.known_providers import known_providers
from nanoclaw.runtimes.protocol import Runtime

EXTRA = "pip install 'nanoclaw[docker]'"


@frozen
class DockerConfig:
    """The keys of `[runtimes.docker]`."""

    socket: str | None = None
    """The engine's unix socket. The default is that of DOCKER_HOST, else one of the usual sockets."""
    image: str | None = None
    """The image of agents that name none. The default is the one that `nanoclaw image build` makes."""
    base_image: Name = BASE
    """The image that ours is built from: a Debian with Python 3.11 or newer and pip."""
    tools: tuple[Name, ...] | None = None
    """Debian packages of our image, in place of the usual ones. An empty list installs none."""
    wheels: Path | None = None
    """A folder of wheels, for the runner and for approved packages. With it, builds ask no index."""
    build_network: Name | None = None
    """The engine's network for builds, such as `host` or `none`. The default is the engine's."""
    lifeline_s: Annotated[float, Number(at_least=10)] = 600.0
    """Seconds without a running host after which a container ends by itself."""

    @property
    def recipe(self) -> Recipe:
        """The choices that our image is built from."""
        given = forwarded(os.environ)
        return Recipe(self.base_image, self.tools, self.wheels, self.build_network, given)


def _make(config: DockerConfig, context: RuntimeContext) -> Runtime:
    try:
        from nanoclaw.runtimes.docker.building import EngineBuilder  # noqa: PLC0415 -- see the module's docstring
        from nanoclaw.runtimes.docker.engine import Engine  # noqa: PLC0415 -- see the module's docstring
        from nanoclaw.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415 -- see the module's docstring
    except ModuleNotFoundError as error:
        raise ConfigError(f"the package {error.name} is not installed: {EXTRA}") from error
    engine = Engine(config.socket)
    images = Images(EngineBuilder(engine), config.recipe, configured=config.image)
    return DockerRuntime(
        engine,
        context.runner.stop_grace_s,
        images=images,
        meanwhile=other_runtimes(context),
        lifeline_s=config.lifeline_s,
        known=known_providers(context.runner),
    )


DOCKER = RuntimeFactory(DockerConfig, _make)
"""The entry point `docker`."""
