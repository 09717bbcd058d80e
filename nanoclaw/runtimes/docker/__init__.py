"""The `docker` runtime: a container of docker or podman for each runner.

The client of the engine takes 170 ms to import, so this module imports it only when the runtime is made.
"""

from typing import Annotated

from attrs import frozen

from nanoclaw.config import ConfigError
from nanoclaw.config.kinds import Number
from nanoclaw.runtimes.factory import RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.protocol import Runtime

EXTRA = "pip install 'nanoclaw[docker]'"


@frozen
class DockerConfig:
    """The keys of `[runtimes.docker]`."""

    socket: str | None = None
    """The engine's unix socket. The default is that of DOCKER_HOST, else one of the usual sockets."""
    image: str | None = None
    """The image of agents that name none. The default is the one that `nanoclaw image build` makes."""
    lifeline_s: Annotated[float, Number(at_least=10)] = 600.0
    """Seconds without a running host after which a container ends by itself."""


def _make(config: DockerConfig, context: RuntimeContext) -> Runtime:
    try:
        from nanoclaw.runtimes.docker.engine import Engine  # noqa: PLC0415 -- see the module's docstring
        from nanoclaw.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415 -- see the module's docstring
    except ModuleNotFoundError as error:
        raise ConfigError(f"the package {error.name} is not installed: {EXTRA}") from error
    return DockerRuntime(
        Engine(config.socket), context.runner.stop_grace_s, config.image, lifeline_s=config.lifeline_s
    )


DOCKER = RuntimeFactory(DockerConfig, _make)
"""The entry point `docker`."""
