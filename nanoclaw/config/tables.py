"""The tables of `config.toml`, one frozen class each, and the configuration that they make up.

The class of a channel's or runtime's table stands beside that channel or runtime, and `LogConfig` stands in
`nanoclaw.logs`. The others are here because the packages that use them import this one.
A new key is one field with its type and its default.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from attrs import Factory, field, frozen

from nanoclaw.config.costs import BudgetsConfig, PriceConfig
from nanoclaw.config.kinds import Access, Bytes, Command, Name, Number, Seconds, ZoneName
from nanoclaw.config.model import FallbackConfig, KeyConfig, ModelConfig
from nanoclaw.config.origins import DEFAULT, NamedTable, Origins
from nanoclaw.config.passed_variables import PassedVariable
from nanoclaw.config.structure import APART, BY_ENTRY
from nanoclaw.config.system_zone import SystemZone, system_zone
from nanoclaw.logs import LogConfig
from nanoclaw.records.network import ASK

__all__ = ["FallbackConfig", "KeyConfig", "ModelConfig"]  # tables whose classes are in a module of their own

DAY_S = 86_400.0
GIB = 1 << 30


@frozen
class SandboxConfig:
    """The place where agents run, and its isolation."""

    runtime: Name = "process"
    """`docker`, `bubblewrap`, or `process`, which isolates nothing. The first start chooses one."""
    process_providers: tuple[Name, ...] = ("echo", "scripted", "anthropic", "openai", "claude")
    """Providers that may run without isolation, in the `process` runtime. There they have chat tools only."""
    network: Access = ASK
    """The sites that agents may reach: `none`, `ask`, `open`, or a list such as `["*.python.org:443"]`.

    With `ask` the owner allows each site. Addresses of this machine and of private networks are out of reach.
    """
    memory: Annotated[int, Bytes()] = 2 * GIB
    """Memory of one sandbox: bytes, or a string such as `512M`."""
    processes: Annotated[int, Number(at_least=8, whole=True)] = 256
    """Processes and threads of one sandbox."""
    cpus: Annotated[float, Number(at_least=0.01)] = 2.0
    """Processors of one sandbox; 0.5 is half of one."""
    disk: Annotated[int, Bytes()] = 8 * GIB
    """Space that an agent's workspace and one session's `outbound` may take together."""
    disk_reserve: Annotated[int, Bytes()] = GIB
    """Free space on the disk of the data below which no sandbox runs."""
    max_running: Annotated[int, Number(at_least=1, whole=True)] = 16
    """The most sandboxes that run at a time. Further sessions wait for their turn."""
    mount_allowlist: Path | None = None
    """The file with the folders that agents may be given. The default is `~/.config/nanoclaw/mounts.toml`."""


@frozen
class RuntimeConfig:
    """The start, polling and stop of runners."""

    command: Command = ()
    """The command that starts a runner instead of NanoClaw's own. It must keep docs/contract.md."""
    idle_s: Annotated[float, Number(at_least=1)] = 900.0
    """Delay after which an idle runner is stopped."""
    backoff_s: Seconds = 1.0
    """Delay before a failed runner is started again. It doubles with each further failure."""
    stop_grace_s: Seconds = 1.5
    """Delay after which a runner that was asked to stop is killed."""
    max_turn_steps: Annotated[int, Number(at_least=1, whole=True)] = 50
    """The most answers of the model in one turn. A turn that reaches it ends with what it has."""
    slow_poll_s: Annotated[float, Number(at_least=1)] = 30.0
    """Interval at which host and runner poll, because a wake-up may be lost."""
    # No error shows it, in case somebody writes a secret here in place of its name.
    pass_env: tuple[Annotated[str, PassedVariable()], ...] = field(default=(), repr=False)
    """The host's environment variables that runners are given, such as `LANGUAGE` or `SSL_*`.

    A variable that a `key.env` names is never passed: no agent holds the key of a model.
    """


@frozen
class RetryConfig:
    """Retries of messages that failed."""

    base_s: Seconds = 5.0
    """The delay before a retry is this times 2^tries."""
    max_tries: Annotated[int, Number(at_least=1, whole=True)] = 5
    """Tries after which a message is given up."""


@frozen
class DeliveryConfig:
    """Deliveries of replies."""

    backoff_s: tuple[Seconds, ...] = (5.0, 15.0, 45.0, 120.0, 300.0)
    """Delays before further attempts to deliver a reply. After the last attempt it has failed."""


@frozen
class RetentionConfig:
    """Time that old data is kept; 0 keeps it for ever. Data that is still in use is never dropped."""

    acks_s: Seconds = 7 * DAY_S
    """The runner's acknowledgements of messages that are answered or given up."""
    files_s: Annotated[float, Number(at_least=3600, or_zero=True)] = 30 * DAY_S
    """Files that users sent, once their message is answered or given up."""
    messages_s: Annotated[float, Number(at_least=DAY_S, or_zero=True)] = 0.0
    """Messages of both directions with their files and deliveries."""


@frozen
class ApprovalsConfig:
    """Requests to the people who may decide."""

    expire_s: Annotated[float, Number(at_least=60)] = DAY_S
    """Delay after which a request that nobody decided expires."""
    held_messages: Annotated[int, Number(at_least=1, whole=True)] = 20
    """The most messages of one stranger in a chat that are kept until somebody decides."""
    held_s: Annotated[float, Number(at_least=3600)] = 7 * DAY_S
    """Time that such a message is kept."""


@frozen
class AgentsConfig:
    """Conversations of agents with each other."""

    max_hops: Annotated[int, Number(at_least=1, whole=True)] = 10
    """The most times that a chain of messages may pass from one agent to another."""
    max_a_minute: Annotated[int, Number(at_least=1, whole=True)] = 20
    """The most messages that two sessions of agents may exchange within a minute."""
    max_created_a_day: Annotated[int, Number(at_least=0, whole=True)] = 5
    """The most agents that one agent may create within 24 hours."""


@frozen
class PromptConfig:
    """Text that agents are given."""

    assistant_name: Name = "NanoClaw"
    """The assistant's name, for agents and at the prompt."""


def system_timezone() -> str:
    """Return the IANA name of this machine's zone, or UTC where it has none."""
    return system_zone().name


@frozen
class Config:
    """The configuration of a host. Durations are seconds."""

    home: Path
    data: Path
    """The central database and the sessions; one host owns it."""
    groups: Path
    """The agents' folders."""
    timezone: ZoneName = Factory(system_timezone)
    """The user's zone, an IANA name. The default is the system's; UTC if that cannot be read."""
    model: ModelConfig = Factory(ModelConfig)
    sandbox: SandboxConfig = Factory(SandboxConfig)
    runtime: RuntimeConfig = RuntimeConfig()
    retry: RetryConfig = RetryConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    retention: RetentionConfig = RetentionConfig()
    prompt: PromptConfig = PromptConfig()
    approvals: ApprovalsConfig = ApprovalsConfig()
    agents: AgentsConfig = AgentsConfig()
    budgets: BudgetsConfig = Factory(BudgetsConfig)
    log: LogConfig = Factory(LogConfig)
    prices: Mapping[str, PriceConfig] = field(factory=dict, kw_only=True, metadata={BY_ENTRY: True})
    """The tables `[prices."<model>"]`: the prices of models."""
    channels: Mapping[str, NamedTable] = field(factory=dict, kw_only=True, metadata={APART: True})
    """The tables `[channels.<name>]`: the channels to start."""
    runtimes: Mapping[str, NamedTable] = field(factory=dict, kw_only=True, metadata={APART: True})
    """The tables `[runtimes.<name>]`: the settings of single runtimes."""
    origins: Origins = field(factory=Origins, kw_only=True, eq=False, repr=False, metadata={APART: True})
    """The origin of each value."""

    @property
    def zone_of_system(self) -> SystemZone | None:
        """The zone of the machine, read again, if it is in use; None if `timezone` is set."""
        if self.origins.place(("timezone",)) != DEFAULT:
            return None
        zone = system_zone()
        return zone if zone.name == self.timezone else None

    @property
    def zone_doubt(self) -> str | None:
        """The reason why the zone of the machine may be wrong, with advice; None if there is no doubt."""
        zone = self.zone_of_system
        return zone.doubt if zone else None
