"""Writes answers to `config.toml`, and a typed key to a file of its own. Each file is replaced whole.

The home is locked meanwhile, so that two setups at once both count. All else in the file stays as it is.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomlkit
from attrs import frozen
from tomlkit.exceptions import TOMLKitError

from nanoclaw.config import ConfigError
from nanoclaw.config.files import Unreadable, read_text
from nanoclaw.config.model import KeyConfig
from nanoclaw.setup.files import PRIVATE_DIR, locked, make_folder, naming, write_private
from nanoclaw.setup.services import service_at
from nanoclaw.setup.targets import Target

KEYS = "keys"
"""The folder of typed keys, below the home."""


@frozen
class Answers:
    """The answers to write. None: that stays as it is."""

    target: Target | None = None
    timezone: str | None = None
    sandbox: str | None = None
    """The runtime of sandboxes."""


def save(home: Path, file: Path, answers: Answers, template: str) -> None:
    """Write the answers. `template` is the text of a file that is missing.

    Raises:
        ConfigError: a folder or file cannot be written, or the file is not TOML. Then it is as it was.
    """
    make_folder(home)
    with locked(home):
        text = edited(_present(file, template), answers, home)
        target = answers.target
        if target is not None and target.typed is not None:
            key_file = home / KEYS / key_name(target)
            make_folder(key_file.parent)
            with naming(key_file):
                key_file.parent.chmod(PRIVATE_DIR)
            write_private(key_file, f"{target.typed}\n")
        write_private(file, text)


def _present(file: Path, template: str) -> str:
    try:
        return read_text(file)
    except FileNotFoundError:
        return template
    except Unreadable as error:
        raise ConfigError(error.at(file)) from error


def edited(text: str, answers: Answers, home: Path) -> str:
    """Return the text of a configuration with the answers in it.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(f"config.toml: cannot be read as TOML: {error}; correct it first") from error
    if answers.timezone is not None:
        document["timezone"] = answers.timezone
    if answers.target is not None:
        _put_target(document, answers.target, home)
    if answers.sandbox is not None:
        if not isinstance(document.get("sandbox"), dict):
            document["sandbox"] = tomlkit.table()
        document["sandbox"]["runtime"] = answers.sandbox
    changed = tomlkit.dumps(document)
    if 0 < text.count("\r\n") == text.count("\n"):
        changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
    return changed


def _put_target(document: Any, target: Target, home: Path) -> None:
    document.pop("provider", None)  # its old name
    if not isinstance(document.get("model"), dict):
        document["model"] = tomlkit.table()
    table = document["model"]
    key = _key_table(target, home)
    values = {"provider": target.provider, "name": target.name, "base_url": target.base_url, "key": key}
    for name, value in values.items():
        if value is None:
            table.pop(name, None)
        elif table.get(name) != value:
            if name == "key":
                table.pop(name, None)
            table[name] = value


def _key_table(target: Target, home: Path) -> Any:
    key = target.key if target.typed is None else KeyConfig(file=home / KEYS / key_name(target))
    if key is None:
        return None
    table = tomlkit.inline_table()
    if key.env is not None:
        table["env"] = key.env
    elif key.file is not None:
        within = key.file.is_relative_to(home)
        table["file"] = str(key.file.relative_to(home) if within else key.file)
    else:
        table["command"] = list(key.command)
    return table


def key_name(target: Target) -> str:
    """Return the name of the file of a typed key: that of the service, else of the server or the provider."""
    if target.base_url is None:
        return target.provider
    service, parts = service_at(target.base_url), urlsplit(target.base_url)
    if service is not None:
        return service.slug
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{parts.hostname}{f'-{parts.port}' if parts.port else ''}")
