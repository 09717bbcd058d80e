"""Runtimes by name. An entry point of the group `nanoclaw.runtimes` is a factory that makes one.

    DOCKER = RuntimeFactory(DockerConfig, make_docker)

`DockerConfig` is the frozen class of the table `[runtimes.docker]`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from attrs import frozen

from nanoclaw.config import Config, ConfigError, NamedTable, read_table
from nanoclaw.config.entry_points import load
from nanoclaw.config.tables import RuntimeConfig, SandboxConfig
from nanoclaw.runtimes.protocol import Runtime
from nanoclaw.system.foreign import ForeignError, foreign_code

C = TypeVar("C")
GROUP = "nanoclaw.runtimes"
_log = structlog.get_logger()
_KEY = ("sandbox", "runtime")


@frozen
class RuntimeContext:
    """The parts of a host that its runtime may use."""

    name: str
    """The runtime's name in the configuration."""
    folder: Path
    """A folder of its own. The runtime makes it when it needs it."""
    sandbox: SandboxConfig
    """The table `[sandbox]`."""
    runner: RuntimeConfig
    """The table `[runtime]`, which is common to all runtimes."""
    sessions: Path | None = None
    """The folder of the host's sessions."""


@frozen
class RuntimeFactory(Generic[C]):
    """Makes a runtime from its configuration and the host's context."""

    config: type[C]
    """A frozen class of attrs: the keys of `[runtimes.<name>]`."""
    make: Callable[[C, RuntimeContext], Runtime]
    """A function that returns at once. The runtime begins its work with the first runner."""
    warning: str | None = None
    """A warning for the owner. Each start of a host logs it as `runtime.<name>`."""


@frozen
class NoConfig:
    """The table of a channel or runtime that has no keys of its own."""


def read_runtime(config: Config) -> tuple[RuntimeFactory[Any], Any]:
    """Find the factory of the configured runtime, and read the table of that runtime.

    Raises:
        ConfigError: it is not installed, is broken, or its table does not fit.
    """
    name = config.sandbox.runtime
    factory = load(GROUP, name, RuntimeFactory, where=config.origins.label(_KEY))
    table = config.runtimes.get(name, NamedTable(name))
    return factory, read_table(table, factory.config, base=config.home)


def table_problems(tables: Mapping[str, NamedTable], home: Path) -> Iterator[str]:
    """Find the problems of the tables `[runtimes.<name>]`. The runtime of each must be installed."""
    for name, table in tables.items():
        try:
            factory = load(GROUP, name, RuntimeFactory, where=table.origins.label(()))
            read_table(table, factory.config, base=home)
        except ConfigError as error:
            yield from error.problems


def configured_runtime(config: Config) -> Runtime:
    """Make the runtime that the configuration names.

    Raises:
        ConfigError: it is not installed, is broken, or its table does not fit.
    """
    name, (factory, settings) = config.sandbox.runtime, read_runtime(config)
    data = config.data
    context = RuntimeContext(
        name, data / "runtimes" / name, config.sandbox, config.runtime, sessions=data / "sessions"
    )
    try:
        runtime: Runtime = factory.make(settings, context)
    except Exception as error:  # a foreign package may raise anything
        where = config.origins.label(_KEY)
        raise ConfigError(f"{where}: the runtime {name!r} cannot be made: {error}") from error
    return runtime


def warn_of_runtime(config: Config) -> None:
    """Log the warning of the configured runtime, if it has one."""
    factory, _ = read_runtime(config)
    if factory.warning is not None:
        _log.warning(f"runtime.{config.sandbox.runtime}", warning=factory.warning)


def why_refused(runtime: Runtime, provider: str) -> str | None:
    """Return why the runtime runs no agent of a provider. None means that it runs them."""
    try:
        with foreign_code():
            return runtime.refusal(provider)
    except ForeignError as error:
        return f"the runtime failed: {error}"


def require_provider(config: Config, runtime: Runtime) -> None:
    """Require that the runtime runs the configured provider.

    Raises:
        ConfigError: the runtime refuses it; the text is the runtime's. Or the runtime fails.
    """
    try:
        with foreign_code():
            refusal = runtime.refusal(config.model.provider)
    except ForeignError as error:
        raise ConfigError(f"{config.origins.label(_KEY)}: the runtime failed: {error}") from error
    if refusal is not None:
        raise ConfigError(f"{config.origins.label(('model', 'provider'))}: {refusal}")
