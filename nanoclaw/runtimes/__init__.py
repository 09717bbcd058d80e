"""Runtimes: the protocol, the factories, and one module for each runtime."""

from nanoclaw.runtimes.factory import (
    NoConfig,
    RuntimeContext,
    RuntimeFactory,
    configured_runtime,
    require_provider,
    table_problems,
    warn_of_runtime,
    why_refused,
)
from nanoclaw.runtimes.protocol import (
    Death,
    Hindered,
    Limits,
    Mount,
    Network,
    NothingLeft,
    ReportsUnhonoured,
    Runner,
    RunnerSpec,
    Runtime,
    StartFailed,
)
from nanoclaw.runtimes.wrapper import RuntimeWrapper

__all__ = [
    "Death",
    "Hindered",
    "Limits",
    "Mount",
    "Network",
    "NoConfig",
    "NothingLeft",
    "ReportsUnhonoured",
    "Runner",
    "RunnerSpec",
    "Runtime",
    "RuntimeContext",
    "RuntimeFactory",
    "RuntimeWrapper",
    "StartFailed",
    "configured_runtime",
    "require_provider",
    "table_problems",
    "warn_of_runtime",
    "why_refused",
]
