"""Makes the files of a first run before the host starts: folders, the configuration, the agent's notes.

`Host.bootstrap` adds the rows of the database. Later runs change nothing.
"""

import os
from pathlib import Path

from nanoclaw.config import Config
from nanoclaw.setup.files import locked, make_folder, naming, write_private

FOLDER = "main"
"""The folder of the first agent group."""

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
# debug, info, warning or error; without this line info with --headless and warning elsewhere.
# level = "info"
"""

NOTES = """\
# {name}

You are {name}, a personal assistant. Be brief, be friendly, and say so when you do not know something.

What you should still know in later conversations, keep with `remember`.
"""


def prepare_home(config: Config, *, write_config: bool) -> None:
    """Make missing folders, and missing files at the first run.

    Raises:
        ConfigError: a folder or file cannot be made. The text names it.
    """
    for folder in (config.home, config.data, config.groups):
        make_folder(folder)
    if write_config:
        with locked(config.home):
            _write_once(config.home / "config.toml", template(config))
    with naming(config.data / "v2.db"):
        begun = (config.data / "v2.db").exists()
    if not begun:
        notes = NOTES.format(name=config.prompt.assistant_name)
        for group in (FOLDER, "global"):
            make_folder(config.groups / group / "workspace")
        _write_once(config.groups / FOLDER / "workspace" / "CLAUDE.md", notes)


def template(config: Config | None) -> str:
    """Return the text of a new `config.toml`. None: the configuration cannot be read."""
    config = config or Config(Path(), Path(), Path())
    return CONFIG.format(runtime=config.sandbox.runtime, provider=config.model.provider)


def _write_once(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable for its user alone. A file that exists stays as it is."""
    with naming(file):
        exists = os.path.lexists(file)
    if not exists:
        write_private(file, text)
