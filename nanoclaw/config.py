"""The configuration: one value, from defaults, `config.toml`, the environment and flags, in that order.

The keys of the file are the field names below; a variable is `NANOCLAW_` and the field's name in capitals.
"""

import os
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from attrs import field, fields_dict, frozen

LogLevel = Literal["debug", "info", "warning", "error"]
RuntimeName = Literal["process"]
DAY_S = 86_400.0
Source = tuple[str, object]
"""A value with the words that name where it comes from."""


class ConfigError(Exception):
    """A setting that cannot be used; the text names the key, where it stands and what to do."""


def system_timezone() -> str:
    """The IANA name of this machine's zone, or UTC where it has none."""
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
    provider: str = "echo"
    """What answers, where neither session nor agent group says otherwise."""
    runtime: RuntimeName = "process"
    timezone: str = field(factory=system_timezone)
    """The user's zone, an IANA name."""
    log_level: LogLevel = "info"
    assistant_name: str = "NanoClaw"
    process_providers: tuple[str, ...] = ("echo",)
    """Providers that may run without isolation, in the `process` runtime."""
    runner_command: tuple[str, ...] = ()
    """What the `process` runtime starts instead of our runner: one that keeps docs/contract.md. A list of
    words; in the environment, as a shell would split it."""
    retry_base_s: float = 5.0
    """A message is tried again after this times 2^tries."""
    max_tries: int = 5
    delivery_backoff_s: tuple[float, ...] = (5.0, 15.0, 45.0, 120.0, 300.0)
    runner_backoff_s: float = 1.0
    """A runner that failed is started again after this, and after each further failure in twice the time."""
    runner_idle_s: float = 900.0
    """An idle runner is stopped after this."""
    stop_grace_s: float = 1.5
    """A runner that was asked to stop is killed after this."""
    slow_poll_s: float = 30.0
    """What commits wake, host and runner, also looks by itself this often: a hint may be lost."""
    keep_acks_s: float = 7 * DAY_S
    """The runner's acks of messages that are done with; 0: for ever, as with the two below."""
    keep_files_s: float = 30 * DAY_S
    """Users' attachments, once their messages are done with."""
    keep_messages_s: float = 0.0
    """Messages of both directions, once they are done with."""


KEYS = tuple(name for name in fields_dict(Config) if name not in {"home", "data", "groups"})
PATHS = ("data", "groups")
_LITERALS: Mapping[str, tuple[str, ...]] = {
    "runtime": get_args(RuntimeName),
    "log_level": get_args(LogLevel),
}
_AT_LEAST: Mapping[str, float] = {"runner_idle_s": 1.0, "slow_poll_s": 1.0}
"""Seconds; a runner that is idle at once would be stopped before it has answered, and polling costs."""
_AT_LEAST_OR_0: Mapping[str, float] = {"keep_files_s": 3600.0, "keep_messages_s": DAY_S}
"""Seconds. A file may wait for its message to be stored; what comes twice is known by the first one's row."""


def load_config(
    *,
    home: Path | None = None,
    file: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Config:
    """Read the configuration.

    Args:
        home: the home directory; default `NANOCLAW_HOME`, then `~/.nanoclaw`.
        file: a configuration file that must exist; default `<home>/config.toml`, which may be missing.
        flags: values of the command line by key; None = not given.
        environ: default: the process's own.
        defaults: values by key, where nothing else names them.

    Raises:
        ConfigError: an unknown key, or a value that cannot be used.
    """
    environ = os.environ if environ is None else environ
    home = _path(Path(), "the home directory", str(home or environ.get("NANOCLAW_HOME") or "~/.nanoclaw"))
    found: dict[str, Source] = {key: ("default", value) for key, value in (defaults or {}).items()}
    found.update(_from_file(file or home / "config.toml", required=file is not None))
    found.update(_from_environment(environ))
    found.update(
        {
            key: (f"--{key.replace('_', '-')}", value)
            for key, value in (flags or {}).items()
            if value is not None
        }
    )
    paths = {key: _path(home, *found.pop(key, ("default", key))) for key in PATHS}
    config = Config(home, **paths, **{key: _convert(key, *source) for key, source in found.items()})  # type: ignore[arg-type]  # _convert checks each against its field
    if config.provider not in config.process_providers:
        raise ConfigError(_not_isolated(config, *found.get("provider", ("default", ""))))
    return config


def setting(key: str, where: str, value: object) -> object:
    """The value of one key, checked and converted as those of the file are; `where` names it in errors.

    Raises:
        ConfigError: an unknown key, or a value that cannot be used.
    """
    if key not in KEYS:
        raise ConfigError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(KEYS))}")
    return _convert(key, where, list(value) if isinstance(value, tuple) else value)


def _not_isolated(config: Config, where: str, _value: object) -> str:
    known = ", ".join(config.process_providers) or "those that process_providers names (now: none)"
    return (
        f"{where}: the process runtime isolates nothing, so it runs no provider but {known}; if you want "
        f"{config.provider!r} all the same, name it in process_providers"
    )


def _from_file(file: Path, *, required: bool) -> dict[str, Source]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{file}: there is no such configuration file") from None
        return {}
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}; check it, or name another --home or --config"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as TOML: {error}") from error
    for key in table:
        if key not in KEYS + PATHS:
            raise ConfigError(f"{file}: unknown key {key!r}; known are {', '.join(sorted(KEYS + PATHS))}")
    return {key: (f"{file}: {key}", value) for key, value in table.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Source]:
    names = {key: f"NANOCLAW_{key.upper()}" for key in KEYS + PATHS}
    return {key: (name, environ[name]) for key, name in names.items() if environ.get(name)}


def _path(home: Path, where: str, value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{where}: a path is wanted, not {value!r}")
    try:
        return (home / Path(value).expanduser()).absolute()
    except RuntimeError as error:
        raise ConfigError(f"{where}: {value!r} begins with ~ and a user that is not known here") from error


def _convert(key: str, where: str, value: object) -> object:
    """The value for a key, or an error that says what is wanted."""
    if key in _LITERALS:
        return _one_of(where, value, _LITERALS[key])
    match key:
        case "max_tries":
            return int(_number(where, value, at_least=1, whole=True))
        case "delivery_backoff_s":
            return tuple(_number(where, item, at_least=0) for item in _items(where, value))
        case "process_providers" | "runner_command":
            items = _items(where, value) if key == "process_providers" else _words(where, value)
            return tuple(_name(where, item) for item in items)
        case "timezone":
            return _zone(where, value)
        case _:
            return _seconds(key, where, value) if key.endswith("_s") else _name(where, value)


def _seconds(key: str, where: str, value: object) -> float:
    if key in _AT_LEAST_OR_0 and not _number(where, value, at_least=0):
        return 0.0
    return _number(where, value, at_least={**_AT_LEAST, **_AT_LEAST_OR_0}.get(key, 0.0))


def _one_of(where: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(known)}")
    return str(value)


def _number(where: str, value: object, *, at_least: float, whole: bool = False) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and value is not True else None
    except ValueError:
        number = None
    wanted = "a whole number" if whole else "a number"
    if number is None or not at_least <= number < float("inf") or (whole and number != int(number)):
        raise ConfigError(f"{where}: {wanted} of at least {at_least:g} is wanted, not {value!r}")
    return number


def _items(where: str, value: object) -> list[object]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, list):
        raise ConfigError(f"{where}: a list is wanted, not {value!r}")
    return value


def _words(where: str, value: object) -> list[object]:
    try:
        return [*shlex.split(value)] if isinstance(value, str) else _items(where, value)
    except ValueError as error:
        raise ConfigError(f"{where}: {value!r} cannot be split into words: {error}") from error


def _name(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigError(f"{where}: a text is wanted, not {value!r}")
    return value


def _zone(where: str, value: object) -> str:
    name = _name(where, value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"{where}: {name!r} is no IANA time zone such as Europe/Berlin") from None
    return name
