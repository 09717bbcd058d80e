"""Every key of the configuration, derived from the classes of its tables, and the old names of keys."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import NOTHING, Factory, fields, frozen, has, resolve_types

from nanoclaw.config.structure import APART, BY_ENTRY
from nanoclaw.config.tables import Config

ENTRIES = ("prices",)
"""Tables whose keys the user chooses."""
ROOMS = ("channels", "runtimes")
"""Tables of tables; their keys are declared by channels and runtimes."""


@frozen
class Key:
    """One key of `config.toml`."""

    path: tuple[str, ...]
    type: Any
    default: object
    """None if it is computed when it is needed."""

    @property
    def name(self) -> str:
        """The whole key, such as `delivery.backoff_s`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"NANOCLAW_{'_'.join(self.path).upper()}"


def _keys(cls: Any, above: tuple[str, ...] = ()) -> Iterator[Key]:
    for each in fields(resolve_types(cls)):
        if {APART, BY_ENTRY} & each.metadata.keys() or (not above and each.name == "home"):
            continue
        if has(each.type):
            yield from _keys(each.type, (*above, each.name))
        else:
            default = None if each.default is NOTHING or isinstance(each.default, Factory) else each.default  # type: ignore[arg-type]  # Factory is a class
            yield Key((*above, each.name), each.type, default)


KEYS: tuple[Key, ...] = tuple(_keys(Config))
BY_NAME: Mapping[str, Key] = {key.name: key for key in KEYS}

OLD_NAMES: Mapping[str, str] = {
    "provider": "model.provider",
    "runtime": "sandbox.runtime",
    "process_providers": "sandbox.process_providers",
    "runner_command": "runtime.command",
    "runner_idle_s": "runtime.idle_s",
    "runner_backoff_s": "runtime.backoff_s",
    "stop_grace_s": "runtime.stop_grace_s",
    "slow_poll_s": "runtime.slow_poll_s",
    "retry_base_s": "retry.base_s",
    "max_tries": "retry.max_tries",
    "delivery_backoff_s": "delivery.backoff_s",
    "keep_acks_s": "retention.acks_s",
    "keep_files_s": "retention.files_s",
    "keep_messages_s": "retention.messages_s",
    "assistant_name": "prompt.assistant_name",
    "log_level": "log.level",
}
"""Names of keys before there were tables, each with its present name."""


def current_name(name: str) -> str:
    """Return the present name of a key."""
    return OLD_NAMES.get(name, name)


def in_table(name: str) -> str:
    """Return a whole key as people read it, such as `[model] provider`."""
    table, _, key = name.rpartition(".")
    return f"[{table}] {key}" if table else key
