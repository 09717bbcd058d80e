"""The sources of the configuration, each as one layer: values by path, with their origins.

A layer puts the value of an old name under the present name, and adds a hint.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import Factory, define

from nanoclaw.config.errors import ConfigError
from nanoclaw.config.files import Unreadable, place, read_text
from nanoclaw.config.keys import KEYS, OLD_NAMES, in_table
from nanoclaw.config.origins import KeyPath, Origin, dotted
from nanoclaw.config.toml_lines import clash, lines_of

CONTRACT_VARIABLES = frozenset(
    f"NANOCLAW_{name}"
    for name in (
        *(
            "AGENT_GROUP_ID",
            "AGENT_GROUP_NAME",
            "ASSISTANT_NAME",
            "ADMIN_USER_IDS",
            "MCP_SERVERS",
            "WORKSPACE",
            "SHARED",
            "MODEL_SETTINGS",
            "MODEL_SOCKET",
            "SANDBOX",
        ),
        *("SCHEMA_DIR", "LIFELINE", "SLOW_POLL_S", "KEEP_ACKS_S", "KEEP_MESSAGES_S"),
    )
)
"""Variables of a runner's environment (contract 1). They are set in a shell that an agent opens."""
HOME_VARIABLE = "NANOCLAW_HOME"
_PREFIX = "NANOCLAW_"
_CHANNELS = "NANOCLAW_CHANNELS_"
_AT = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
"""An error of `tomllib`."""


@define
class Layer:
    """The values of one source."""

    values: dict[str, Any] = Factory(dict)
    """Nested, as in the file."""
    origins: dict[KeyPath, Origin] = Factory(dict)
    hints: list[str] = Factory(list)
    problems: list[str] = Factory(list)

    def put(self, path: tuple[str, ...], value: object, origin: Origin) -> None:
        """Set one value. A key that is given under both its old and its present name is a problem."""
        if path in self.origins:
            given = f"{self.origins[path].label} and {origin.label} are one key, and both are given"
            self.problems.append(f"{given}; keep {in_table(dotted(path))}")
            return
        self.origins[path] = origin
        table = self.values
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):  # reported as a problem of its own
                return
        table[path[-1]] = value

    def put_renamed(self, old: str, value: object, origin: Origin) -> None:
        """Set a value that is given under its old name."""
        self.put(tuple(OLD_NAMES[old].split(".")), value, origin)
        self.hints.append(f"{origin.label} is now {in_table(OLD_NAMES[old])}")


# -- the file -------------------------------------------------------------------


def file_layer(file: Path, *, required: bool) -> Layer:
    """Read `config.toml`; one that is missing and not required is empty.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        text = read_text(file)
        lines = lines_of(text)  # first, for it bounds what tomllib has to parse
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{file}: there is no such configuration file") from None
        return Layer()
    except Unreadable as error:
        advice = "" if error.line else "; check it, or name another --home or --config"
        raise ConfigError(f"{error.at(file)}{advice}") from error
    try:
        values = tomllib.loads(text)
    except ValueError as error:  # a number that is too long is not even a TOMLDecodeError
        raise ConfigError(_bad_toml(file, text, str(error))) from error
    return _layer_of(file, values, lines)


def _bad_toml(file: Path, text: str, reason: str) -> str:
    """Return one line for what `tomllib` refuses."""
    if (renamed := _table_with_old_name(file, lines_of(text))) is not None:
        return renamed
    at = _AT.fullmatch(reason)
    if at is None:
        return f"{file}: cannot be read as TOML: {reason.split('; ', maxsplit=1)[0]}"
    line = int(at["line"] or text.count("\n") + 1)
    column = f"in column {at['column']}" if at["column"] else "at the end of the file"
    words = f"cannot be read as TOML: {at['what']}, {column}"
    return f"{place(file, line)}: {clash(text, line) or words}"


def _table_with_old_name(file: Path, lines: Mapping[KeyPath, int]) -> str | None:
    """Explain an old key that has the name of a table. TOML does not allow a file to have both."""
    old = next((name for name in OLD_NAMES if (name,) in lines and _has_table(lines, name)), None)
    if old is None:
        return None
    where = f"{file} line {lines[old,]}: {old}"
    return f"{where} is now {in_table(OLD_NAMES[old])}, and the file has a table [{old}]; move it there"


def _has_table(lines: Mapping[KeyPath, int], name: str) -> bool:
    return any(path[0] == name and len(path) > 1 for path in lines)


def _layer_of(file: Path, values: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> Layer:
    layer = Layer()
    for path, line in lines.items():
        place = f"{file} line {line}"
        layer.origins[path] = Origin(place, f"{place}: {dotted(path)}")
    old = [key for key, value in values.items() if key in OLD_NAMES and not isinstance(value, dict)]
    layer.values = {key: value for key, value in values.items() if key not in old}
    for key in old:
        layer.put_renamed(key, values[key], layer.origins.pop((key,)))
    return layer


# -- the environment ------------------------------------------------------------


def environment_layer(environ: Mapping[str, str], channels: Iterable[str]) -> tuple[Layer, list[str]]:
    """Read the variables of the configuration. An empty variable counts as absent.

    `channels` are the names of channels in the file. Variables may set the keys of those.

    Returns:
        The layer, and the warnings about variables `NANOCLAW_...` that nobody reads.
    """
    layer = Layer()
    new = {key.variable: key.path for key in KEYS}
    old = {f"NANOCLAW_{name.upper()}": name for name in OLD_NAMES}  # some are the new names: `LOG_LEVEL`
    prefixes = {f"{_CHANNELS}{_upper(name)}_": name for name in channels}
    unread = list[str]()
    for name, value in sorted(environ.items()):
        if not value or not name.startswith(_PREFIX):
            continue
        origin = Origin(name, name)
        prefix = max((each for each in prefixes if name.startswith(each)), key=len, default=None)
        if name in new:
            layer.put(new[name], value, origin)
        elif name in old:
            layer.put_renamed(old[name], value, origin)
        elif prefix is not None:
            layer.put(("channels", prefixes[prefix], name.removeprefix(prefix).lower()), value, origin)
        elif name not in CONTRACT_VARIABLES | {HOME_VARIABLE}:
            unread.append(f"{name}: nothing reads this variable; {_nearest(name, [*new, *old])}")
    return layer, unread


def _upper(name: str) -> str:
    return name.replace("-", "_").replace(".", "_").upper()


def _nearest(name: str, known: list[str]) -> str:
    if name.startswith(_CHANNELS):
        return "the file has no table [channels.<name>] that it belongs to"
    ends = [each.removeprefix(_PREFIX) for each in known]  # with the prefix, all would be alike
    near = get_close_matches(name.removeprefix(_PREFIX), ends, n=1)
    return f"the nearest is {_PREFIX}{near[0]}" if near else "`nanoclaw config show` prints all keys"


# -- values from a program ------------------------------------------------------


def settings_layer(settings: Mapping[str, object], source: str) -> Layer:
    """Read values by their whole keys, by their old names, or nested as tables.

    `source` begins each error. If it is `--`, the values come from flags.
    """
    layer = Layer()
    for name, value in settings.items():
        if name in OLD_NAMES and not isinstance(value, Mapping):
            layer.put_renamed(name, value, _given((name,), source))
        elif isinstance(value, Mapping) and "." not in name:
            for key, below in value.items():
                layer.put((name, key), below, _given((name, key), source))
        else:
            path = tuple(name.split("."))
            layer.put(path, value, _given(path, source))
    return layer


def _given(path: tuple[str, ...], source: str) -> Origin:
    if source != "--":
        return Origin(source, f"{source}: {dotted(path)}")
    flag = f"--{'-'.join(path).replace('_', '-')}"
    return Origin(flag, flag)
