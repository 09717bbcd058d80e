"""Writes and removes tables `[channels.<name>]` of `config.toml`, and the secrets that they name.

A secret that was typed is a file of its own below `<home>/secrets`, for its user alone. It is on disk before
the table that names it. So a kill in between leaves a configuration that can be used.
"""

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from attrs import field, frozen
from tomlkit.exceptions import TOMLKitError

from nanoclaw.config import ConfigError
from nanoclaw.config.files import Unreadable, read_text
from nanoclaw.setup.files import PRIVATE_DIR, locked, make_folder, naming, write_private

SECRETS = "secrets"
"""The folder of typed secrets, below the home."""
NEW = ".new"
"""The end of the names of secrets that are tried and not stored yet."""


@frozen
class ChannelTable:
    """A table of a channel, as it is written."""

    name: str
    type: str
    values: Mapping[str, object]
    """The values by key. A secret is a table such as `{"file": …}`."""
    typed: Mapping[str, str] = field(factory=dict, repr=False)
    """The secrets that were typed, by key. Their files are those of `secret_file`."""


def secret_file(name: str, key: str) -> str:
    """Return the file of a typed secret, relative to the home."""
    return f"{SECRETS}/{name}-{key}"


def write_trial(home: Path, table: ChannelTable) -> Mapping[str, Path]:
    """Write the typed secrets beside the stored ones, so that they can be tried. Return the files by key.

    Raises:
        ConfigError: a folder or file cannot be written.
    """
    written = dict[str, Path]()
    for key, secret in table.typed.items():
        file = home / f"{secret_file(table.name, key)}{NEW}"
        make_folder(file.parent)
        with naming(file):
            file.parent.chmod(PRIVATE_DIR)
        written[key] = file
        write_private(file, f"{secret}\n")
    return written


def forget_trial(files: Mapping[str, Path]) -> None:
    """Delete secrets that were tried and are not stored."""
    for file in files.values():
        file.unlink(missing_ok=True)


def save_channel(
    home: Path, file: Path, table: ChannelTable, trial: Mapping[str, Path], template: str
) -> None:
    """Store the secrets that were tried, and write the table. All else in the file stays as it is.

    `template` is the text of a file that is missing.

    Raises:
        ConfigError: a file cannot be written, or is not TOML. Then `config.toml` is as it was.
    """
    make_folder(home)
    with locked(home):
        text = edited(_present(file, template), table)
        for key, tried in trial.items():
            stored = home / secret_file(table.name, key)
            with naming(stored):
                tried.replace(stored)
        write_private(file, text)


def remove_channel(home: Path, file: Path, name: str) -> Mapping[str, Path]:
    """Remove the table of a channel. Return the files of its secrets below `<home>/secrets`, by key.

    Raises:
        ConfigError: there is no such table, or the file cannot be read or written. Then it is as it was.
    """
    with locked(home):
        text = _present(file, "")
        document = _parsed(text)
        channels = document.get("channels")
        if not isinstance(channels, dict) or name not in channels:
            raise ConfigError(
                f"{file}: there is no table [channels.{name}]; `nanoclaw channels list` shows all"
            )
        secrets = _own_secrets(home, channels[name])
        del channels[name]
        if not channels:
            del document["channels"]
        changed, wanted = _dumped(document, text), tomllib.loads(text)
        del wanted["channels"][name]
        if tomllib.loads(changed).get("channels", {}) != wanted["channels"]:  # tomlkit mixes up dotted keys
            raise ConfigError(_unchanged(name))
        write_private(file, changed)
    return secrets


def _own_secrets(home: Path, table: Any) -> Mapping[str, Path]:
    """Return the files of a table that lie in the folder of typed secrets."""
    found = dict[str, Path]()
    for key, value in table.items() if isinstance(table, dict) else ():
        named = value.get("file") if isinstance(value, dict) else None
        if isinstance(named, str) and (place := home / named).parent == home / SECRETS:
            found[str(key)] = place
    return found


def edited(text: str, table: ChannelTable) -> str:
    """Return the text of a configuration with the table in it. Raises ConfigError if it is not TOML."""
    document, values = _parsed(text), _values(table)
    wanted = tomllib.loads(text)
    wanted["channels"] = {**wanted.get("channels", {}), table.name: values}
    for put in (_put, _put_anew):
        with suppress(
            TOMLKitError, LookupError, TypeError, ValueError
        ):  # of dotted keys, which tomlkit mixes up
            put(document, table.name, values)
            changed = _dumped(document, text)
            if tomllib.loads(changed) == wanted:
                return changed
        document = _parsed(text)
    raise ConfigError(_unchanged(table.name))


def _unchanged(name: str) -> str:
    return f"config.toml: [channels.{name}] cannot be changed; move that table to the end of the file first"


def _values(table: ChannelTable) -> Mapping[str, object]:
    return {**({} if table.type == table.name else {"type": table.type}), **table.values}


def _put(document: Any, name: str, values: Mapping[str, object]) -> None:
    """Change the keys of a table that differ. Comments stay."""
    if not isinstance(document.get("channels"), dict):
        document["channels"] = tomlkit.table(is_super_table=True)
    channels: Any = document["channels"]
    if not isinstance(channels.get(name), dict):
        channels[name] = tomlkit.table()
    own = channels[name]
    for key in [key for key in own if key not in values]:
        del own[key]
    for key, value in values.items():
        if own.get(key) != value:
            own[key] = _inline(value) if isinstance(value, Mapping) else value


def _put_anew(document: Any, name: str, values: Mapping[str, object]) -> None:
    """Write all tables of channels anew. Their comments are lost."""
    plain = document["channels"].unwrap() if "channels" in document else {}
    document.pop("channels", None)
    channels = tomlkit.table(is_super_table=True)
    for each, its in {**plain, name: values}.items():
        table = tomlkit.table()
        for key, value in its.items():
            table[key] = _inline(value) if isinstance(value, Mapping) else value
        channels[each] = table
    document["channels"] = channels


def _inline(values: Mapping[str, object]) -> Any:
    table = tomlkit.inline_table()
    table.update(values)
    return table


def _parsed(text: str) -> Any:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(f"config.toml: cannot be read as TOML: {error}; correct it first") from error


def _dumped(document: Any, before: str) -> str:
    changed = tomlkit.dumps(document)
    if 0 < before.count("\r\n") == before.count("\n"):
        changed = re.sub(r"\r?\n", "\r\n", changed)
    return changed


def _present(file: Path, template: str) -> str:
    try:
        return read_text(file)
    except FileNotFoundError:
        return template
    except Unreadable as error:
        raise ConfigError(error.at(file)) from error
