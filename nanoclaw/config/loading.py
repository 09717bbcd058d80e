"""Loading the configuration: defaults, `config.toml`, the environment and flags, in that order.

The later source wins, key by key. A variable is `NANOCLAW_<TABLE>_<KEY>`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import structlog
from attrs import evolve, field, frozen

from nanoclaw.config.errors import ConfigError, in_order
from nanoclaw.config.keys import BY_NAME, ENTRIES, KEYS, OLD_NAMES, ROOMS, in_table
from nanoclaw.config.kinds import Place, Unfit, shown
from nanoclaw.config.layers import HOME_VARIABLE, Layer, environment_layer, file_layer, settings_layer
from nanoclaw.config.origins import KeyPath, NamedTable, Origin, Origins, dotted
from nanoclaw.config.structure import Misfit, Problem, lines, nearest, structure
from nanoclaw.config.tables import Config

_log = structlog.get_logger()
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@frozen
class Reading:
    """The result of reading the configuration. It may have problems, and then cannot be used."""

    home: Path
    problems: tuple[str, ...]
    """One line for each problem. With any, `config` is None."""
    hints: tuple[str, ...] = ()
    """Old names of keys that were used, with their present names."""
    unread: tuple[str, ...] = ()
    """Variables `NANOCLAW_...` that nobody reads."""
    channels: Mapping[str, NamedTable] = field(factory=dict)
    runtimes: Mapping[str, NamedTable] = field(factory=dict)
    config: Config | None = field(default=None, repr=False)
    """None if there are problems."""

    def result(self) -> Config:
        """Return the configuration.

        Raises:
            ConfigError: it cannot be used. The error has all problems.
        """
        if self.config is None:
            raise ConfigError(*self.problems)
        return self.config

    def log(self) -> None:
        """Log the hints, and the variables that nobody reads."""
        for hint in self.hints:
            _log.warning("config.old_name", hint=hint)
        for unread in self.unread:
            _log.warning("config.unread_variable", reason=unread)


def load_config(  # noqa: PLR0913 -- the sources, by name
    *,
    home: Path | None = None,
    file: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
) -> Config:
    """Read the configuration. Log old names in it, and variables that nobody reads.

    Args:
        home: the home directory; default `NANOCLAW_HOME`, then `~/.nanoclaw`.
        file: a configuration file that must exist; default `<home>/config.toml`, which may be missing.
        flags: values of the command line by key; None = not given.
        environ: default: the process's own.
        defaults: values by key such as `log.level`, for keys that no other source sets.
        settings: a program's own values by key; they come before all others.

    Raises:
        ConfigError: unknown keys, or values that cannot be used; all of them.
    """
    reading = read_config(
        home=home, file=file, flags=flags, environ=environ, defaults=defaults, settings=settings
    )
    config = reading.result()
    reading.log()
    return config


def read_config(  # noqa: PLR0913 -- the sources, by name
    *,
    home: Path | None = None,
    file: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
) -> Reading:
    """Read the configuration and find all its problems. The arguments are those of `load_config`.

    Raises:
        ConfigError: the home or the file cannot be read at all.
    """
    environ = os.environ if environ is None else environ
    place = _home(str(home or environ.get(HOME_VARIABLE) or "~/.nanoclaw"))
    from_file = file_layer(file or place / "config.toml", required=file is not None)
    channels = from_file.values.get("channels")
    from_environment, unread = environment_layer(environ, channels if isinstance(channels, dict) else ())
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    layers = (
        settings_layer(defaults or {}, "default"),
        from_file,
        from_environment,
        settings_layer(given, "--"),
        settings_layer(settings or {}, "settings"),
    )
    # Flags and a program's defaults get no hint: a user cannot change their names.
    hints = (*from_file.hints, *from_environment.hints)
    return evolve(_reading(place, layers), hints=hints, unread=tuple(unread))


def config_of(home: Path, settings: Mapping[str, object], *, source: str = "settings") -> Config:
    """Make a configuration from values alone: by whole keys such as `retry.base_s`, or nested as tables.

    Keys may have their old names, which are logged. `source` begins each error.

    Raises:
        ConfigError: unknown keys, or values that cannot be used; all of them.
    """
    layer = settings_layer(settings, source)
    reading = evolve(_reading(home, (layer,)), hints=tuple(layer.hints))
    config = reading.result()
    reading.log()
    return config


def flat(settings: Mapping[str, object]) -> Mapping[str, object]:
    """Return settings by their present whole keys, so that one set can override another."""
    layer = settings_layer(settings, "settings")
    if layer.problems:
        raise ConfigError(*layer.problems)
    return {dotted(path): _at(layer.values, path) for path in layer.origins}


def _at(values: Any, path: KeyPath) -> object:
    for part in path:
        values = values[part]
    return values


def _home(text: str) -> Path:
    try:
        return Path(Place(Path()).read(text))
    except Unfit as error:
        raise ConfigError(f"the home directory {error}") from error


def _reading(home: Path, layers: tuple[Layer, ...]) -> Reading:
    values: dict[str, Any] = {}
    by_path: dict[KeyPath, Origin] = {}
    for layer in layers:
        _overlay(values, layer.values)
        by_path = {**_remaining(by_path, layer), **layer.origins}
    origins = Origins(by_path)
    problems = [problem for layer in layers for problem in layer.problems]
    channels, runtimes = (_named_tables(room, values.pop(room, {}), origins, problems) for room in ROOMS)
    if "home" in values:
        label = origins.label(("home",))
        problems.append(f"{label} cannot be set here; use --home or the variable {HOME_VARIABLE}")
    try:
        wanted = {"data": "data", "groups": "groups", **values, "home": home}
        plain = structure(wanted, Config, base=home)
    except Misfit as misfit:
        problems.extend(lines([_with_nearest(problem) for problem in misfit.problems], origins))
        return Reading(home, in_order(problems), channels=channels, runtimes=runtimes)
    config = evolve(plain, origins=origins, channels=channels, runtimes=runtimes)
    usable = None if problems else config
    return Reading(home, in_order(problems), channels=channels, runtimes=runtimes, config=usable)


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and key in below:
            if isinstance(below[key], dict):  # else it stays, and is reported as a problem
                _overlay(below[key], value)
        else:
            below[key] = dict(value) if isinstance(value, dict) else value


def _remaining(origins: Mapping[KeyPath, Origin], layer: Layer) -> dict[KeyPath, Origin]:
    """Return the origins of values that a layer does not replace."""
    replaced = {path for path in layer.origins if not _is_table(layer.values, path)}
    return {
        path: origin
        for path, origin in origins.items()
        if not any(path[:size] in replaced for size in range(len(path) + 1))
    }


def _is_table(values: Any, path: KeyPath) -> bool:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return isinstance(values, dict)


def _named_tables(
    room: str, tables: object, origins: Origins, problems: list[str]
) -> Mapping[str, NamedTable]:
    found = dict[str, NamedTable]()
    if not isinstance(tables, dict):
        problems.append(f"{origins.label((room,))} must be a table of tables, got {shown(tables)}")
        return found
    of_tables = origins.of_tables(room)
    for name, values in tables.items():
        label = origins.label((room, name))
        if not _NAME.fullmatch(name):
            problems.append(
                f"{label}: a name has up to 128 of A-Z a-z 0-9 . _ - and does not begin with a dot"
            )
        elif not isinstance(values, dict):
            problems.append(f"{label} must be a table")  # its value may be a secret
        else:
            found[name] = NamedTable(name, values, of_tables.get(name, Origins()))
    return found


def _with_nearest(problem: Problem) -> Problem:
    """Improve the advice for an unknown key: name the nearest of all keys and old names."""
    if not problem.text.startswith("is not known") or len(problem.path) > 2:  # noqa: PLR2004 -- below a key
        return problem
    return evolve(problem, text=f"is not known; {_advice(problem)}")


def _advice(problem: Problem) -> str:
    tables = [*dict.fromkeys(key.path[0] for key in KEYS if len(key.path) > 1), *ENTRIES, *ROOMS]
    above, key = problem.path[:-1], str(problem.path[-1])
    table, size = dotted(above), len(above)
    within = [each.path for each in KEYS if each.path[:size] == above and (above or len(each.path) == 1)]
    same_table = list(dict.fromkeys(path[size] for path in within))
    for near in _nearest_of(key, [*same_table, *([] if table else tables)]):
        whole = f"{table}.{near}" if table else near
        return f"the nearest is {in_table(whole) if whole in BY_NAME else f'[{whole}]'}"
    for near in _nearest_of(key, [*OLD_NAMES, *(each.path[-1] for each in KEYS)]):
        whole = OLD_NAMES.get(near) or next(each.name for each in KEYS if each.path[-1] == near)
        return f"the nearest is {in_table(whole)}"
    return nearest(key, sorted(same_table) + ([] if table else [f"[{each}]" for each in tables]))


def _nearest_of(key: str, known: list[str]) -> Iterator[str]:
    yield from get_close_matches(key, known, n=1)
