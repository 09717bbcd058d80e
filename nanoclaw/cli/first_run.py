"""Makes the files of a first run before the host starts: folders, the configuration, the agent's notes.

`Host.bootstrap` adds the rows of the database. Later runs change nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoclaw.config import Config, ConfigError
from nanoclaw.system.obstacles import Obstacle, advice, kind_of, printable

FOLDER = "main"
"""The folder of the first agent group."""
PRIVATE_DIR, PRIVATE_FILE = 0o700, 0o600

CONFIG = """\
# NanoClaw's configuration. `nanoclaw config show` prints all values, docs/configuration.md lists all keys.
# A variable NANOCLAW_<TABLE>_<KEY> overrides a key here, and a flag overrides both.

# Your time zone; without this line the system's.
# timezone = "Europe/Berlin"

[model]
# The provider of agents and sessions that have none of their own.
# provider = "{provider}"

[sandbox]
# Where agents run; chosen at the first run. "process" isolates nothing: agents run as you, on your files.
runtime = "{runtime}"

[log]
# debug, info, warning or error; without this line warning at a prompt and info elsewhere.
# level = "info"
"""

NOTES = """\
# {name}

You are {name}, a personal assistant. Be brief, be friendly, and say so when you do not know something.

This folder is your workspace: files that you keep here are there again next time. Keep what you should
remember in this file.
"""


def prepare_home(config: Config, *, write_config: bool) -> None:
    """Make missing folders, and missing files at the first run.

    Raises:
        ConfigError: a folder or file cannot be made. The text names it.
    """
    for folder in (config.home, config.data, config.groups):
        _make_folder(folder)
    if write_config:
        text = CONFIG.format(runtime=config.sandbox.runtime, provider=config.model.provider)
        _write_once(config.home / "config.toml", text)
    with _naming(config.data / "v2.db"):
        begun = (config.data / "v2.db").exists()
    if not begun:
        notes = NOTES.format(name=config.prompt.assistant_name)
        for group in (FOLDER, "global"):
            _make_folder(config.groups / group / "workspace")
        _write_once(config.groups / FOLDER / "workspace" / "CLAUDE.md", notes)


def _make_folder(folder: Path) -> None:
    with _naming(folder):
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(mode=PRIVATE_DIR)


def _write_once(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable for its user alone. A file that exists stays as it is."""
    with _naming(file):
        if os.path.lexists(file):
            return
        partial = file.with_name(f".{file.name}.partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        partial.rename(file)
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if kind_of(error) in {Obstacle.DENIED, Obstacle.FULL}:
            raise ConfigError(f"{printable(path)}: {advice(kind_of(error), path, reason)}") from error
        raise ConfigError(
            f"{printable(path)}: cannot be made: {reason}; make its disk writable for you, or choose "
            "another place with --home, --data, --groups"
        ) from error
