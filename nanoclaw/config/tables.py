"""The tables of `config.toml`, one frozen class each, and the configuration that they make up.

A table of a channel or a runtime has its class beside that channel or runtime, and `LogConfig` stands in
`nanoclaw.logs`. The others are here because their users lie above this package and import it.
A new key is one field: its type says what it may be, its default what it is where nothing names it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfoNotFoundError

import tzlocal
from attrs import Factory, field, frozen

from nanoclaw.config.kinds import Command, Name, Number, Seconds, ZoneName
from nanoclaw.config.origins import NamedTable, Origins
from nanoclaw.config.structure import APART
from nanoclaw.logs import LogConfig

DAY_S = 86_400.0


@frozen
class ModelConfig:
    """What answers."""

    provider: Name = "echo"
    """The provider, where neither the session nor its agent group names one."""


@frozen
class SandboxConfig:
    """Where agents run, and what they may do there."""

    runtime: Name = "process"
    """The runtime. `process` comes with NanoClaw and isolates nothing."""
    process_providers: tuple[Name, ...] = ("echo",)
    """Providers that may run without isolation, in the `process` runtime."""


@frozen
class RuntimeConfig:
    """How runners are started, polled and stopped."""

    command: Command = ()
    """The command that starts a runner, instead of ours: a list of words. It keeps docs/contract.md."""
    idle_s: Annotated[float, Number(at_least=1)] = 900.0
    """An idle runner is stopped after this."""
    backoff_s: Seconds = 1.0
    """A failed runner is started again after this. The delay doubles with each further failure."""
    stop_grace_s: Seconds = 1.5
    """A runner that was asked to stop is killed after this."""
    slow_poll_s: Annotated[float, Number(at_least=1)] = 30.0
    """Host and runner poll this often even without a wake-up: a wake-up may be lost."""


@frozen
class RetryConfig:
    """When a message that failed is tried again."""

    base_s: Seconds = 5.0
    """A message is tried again after this times 2^tries."""
    max_tries: Annotated[int, Number(at_least=1, whole=True)] = 5
    """A message is given up after this many tries."""


@frozen
class DeliveryConfig:
    """How replies are delivered."""

    backoff_s: tuple[Seconds, ...] = (5.0, 15.0, 45.0, 120.0, 300.0)
    """Delays before each further attempt to deliver a reply. After the last one it has failed."""


@frozen
class RetentionConfig:
    """How long old data is kept; 0 keeps it for ever. Only what is done with is dropped."""

    acks_s: Seconds = 7 * DAY_S
    """The runner's notes on messages that are answered or given up."""
    files_s: Annotated[float, Number(at_least=3600, or_zero=True)] = 30 * DAY_S
    """Files that users sent, once their message is answered or given up."""
    messages_s: Annotated[float, Number(at_least=DAY_S, or_zero=True)] = 0.0
    """Messages of both directions with their files and deliveries."""


@frozen
class PromptConfig:
    """What agents are told."""

    assistant_name: Name = "NanoClaw"
    """The assistant's name, for agents and at the prompt."""


def system_timezone() -> str:
    """Return the IANA name of this machine's zone, or UTC where it has none."""
    try:
        return tzlocal.get_localzone_name() or "UTC"
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"


@frozen
class Config:
    """How a host runs. Durations are seconds."""

    home: Path
    data: Path
    """The central database and the sessions; one host owns it."""
    groups: Path
    """The agents' folders."""
    timezone: ZoneName = Factory(system_timezone)
    """The user's zone, an IANA name. The default is the system's."""
    model: ModelConfig = ModelConfig()
    sandbox: SandboxConfig = SandboxConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    retry: RetryConfig = RetryConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    retention: RetentionConfig = RetentionConfig()
    prompt: PromptConfig = PromptConfig()
    log: LogConfig = Factory(LogConfig)
    channels: Mapping[str, NamedTable] = field(factory=dict, kw_only=True, metadata={APART: True})
    """The tables `[channels.<name>]`: the channels to start."""
    runtimes: Mapping[str, NamedTable] = field(factory=dict, kw_only=True, metadata={APART: True})
    """The tables `[runtimes.<name>]`: what single runtimes want to know."""
    origins: Origins = field(factory=Origins, kw_only=True, eq=False, repr=False, metadata={APART: True})
    """Where each value comes from."""
