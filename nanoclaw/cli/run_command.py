"""The command line of `nanoclaw run`: its options, and the configuration that they give."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import trio

from nanoclaw.cli.output import tell
from nanoclaw.cli.parsing import BAD_USAGE, SECONDS, Command, Folder, SectionOption
from nanoclaw.cli.places import Places, with_places
from nanoclaw.config import ConfigError, Reading, read_config
from nanoclaw.config.origins import DEFAULT

FLAGS = ("data", "groups", "provider", "runtime", "log_level")
"""Options that are keys of the configuration."""
DRAIN_S = 30.0
QUIET: Mapping[str, str] = {"log.level": "warning"}
"""The log of a prompt and of a pipe, whose user wants to see answers."""
SETTINGS, RECORDING = "Settings", "Recording, to be replayed with `nanoclaw replay`"
RUN = (
    "Run the host until Ctrl-C or SIGTERM. On a terminal it shows a prompt; what you type is for the "
    "agent. With a pipe, each line of input is a message; at its end the answers are waited for."
)
EPILOG = (
    "Settings come from <home>/config.toml, then variables NANOCLAW_<KEY>, then these options. Exit "
    "codes: 0 all is well; 1 a message of the pipe stayed unanswered, and stderr names it; 2 the host cannot "
    "run, and stderr says why and what to do."
)
LEVELS = ("debug", "info", "warning", "error")
NEW_FOLDER = Folder("must be a new or empty folder")


def _runtimes(incomplete: str) -> list[str]:
    names = {point.name for point in entry_points(group="nanoclaw.runtimes")}
    return sorted(name for name in names if name.startswith(incomplete))


@click.command(
    "run", cls=Command, help=RUN, short_help="run the host, with a prompt on a terminal", epilog=EPILOG
)
@click.option(
    "--provider", cls=SectionOption, section=SETTINGS, metavar="NAME", help="what answers; default: echo"
)
@click.option(
    "--runtime",
    cls=SectionOption,
    section=SETTINGS,
    metavar="NAME",
    shell_complete=lambda _context, _param, incomplete: _runtimes(incomplete),
    help="where agents run: docker, bubblewrap or process; default: as it is configured",
)
@click.option(
    "--log-level",
    cls=SectionOption,
    section=SETTINGS,
    metavar="LEVEL",
    shell_complete=lambda _context, _param, incomplete: [
        each for each in LEVELS if each.startswith(incomplete)
    ],
    help="debug, info, warning or error; default: info with --headless, else warning",
)
@click.option("--headless", is_flag=True, help="no terminal here: other channels, and `nanoclaw chat`")
@click.option(
    "--record",
    cls=SectionOption,
    section=RECORDING,
    type=NEW_FOLDER,
    metavar="DIR",
    help="record what comes in, in a new folder; it contains all messages",
)
@click.option(
    "--record-redacted",
    cls=SectionOption,
    section=RECORDING,
    type=NEW_FOLDER,
    metavar="DIR",
    help="the same, with an x for each character that people and agents write; names and ids stay",
)
@click.option(
    "--drain",
    type=SECONDS,
    default=DRAIN_S,
    metavar="SECONDS",
    help=f"with a pipe, how long to wait for answers at its end; default: {DRAIN_S:g}",
)
@click.option(
    "--begin-anew",
    is_flag=True,
    help="where v2.db is lost: move the old files to a folder beside the new ones, and begin without them",
)
@with_places
def run(places: Places, record: Path | None, record_redacted: Path | None, **values: Any) -> int:
    """Run the host; returns the exit code. Raises ConfigError."""
    from nanoclaw.cli.run import run as run_host  # noqa: PLC0415 -- other commands need no host
    from nanoclaw.host import HostFailed  # noqa: PLC0415
    from nanoclaw.recording import Record  # noqa: PLC0415

    if record is not None and record_redacted is not None:
        raise click.UsageError("--record and --record-redacted exclude each other")
    folder = record or record_redacted
    recording = None if folder is None else Record(folder, redacted=record is None)
    try:
        return _run(places, values, run_host, recording)
    except HostFailed as error:
        tell(f"nanoclaw: {error}")
        return BAD_USAGE


def _run(places: Places, values: Mapping[str, Any], run_host: Any, recording: object) -> int:
    from nanoclaw.cli.config_commands import settings_problems  # noqa: PLC0415 -- as above
    from nanoclaw.cli.first_run import prepare_home  # noqa: PLC0415
    from nanoclaw.logs import configure_logging  # noqa: PLC0415
    from nanoclaw.logs.ring import LogRing  # noqa: PLC0415
    from nanoclaw.system.descriptors import raise_limit  # noqa: PLC0415

    headless = values["headless"]
    if sys.stdout is None and not headless:
        raise ConfigError(
            "standard output is closed, so no answer could be shown; open it, or use --headless"
        )
    at_prompt = not headless and is_terminal()
    flags = {**places.flags, **{flag: values[flag] for flag in FLAGS if flag in values}}
    defaults = {} if headless or (at_prompt and not _logs_at_terminal()) else QUIET
    read = partial(read_config, home=places.home, file=places.config, flags=flags, defaults=defaults)
    reading = read()
    if (sandbox := _first_sandbox(reading, places)) is not None:
        read = partial(read, defaults={**defaults, "sandbox.runtime": sandbox})
        reading = read()
    if problems := [*settings_problems(reading)]:
        raise ConfigError(*problems)
    reading = _first_answers(reading, read, places, asks=at_prompt, named=values["provider"] is not None)
    config, ring = reading.result(), LogRing()
    configure_logging(config.log.level, ring=ring)
    reading.log()
    prepare_home(config, write_config=places.config is None)
    raise_limit()
    code: int = trio.run(
        run_host,
        config,
        ring,
        headless,
        at_prompt,
        values["drain"],
        recording,
        values["begin_anew"],
        lambda: read().result(),
    )
    return code


def _first_sandbox(reading: Reading, places: Places) -> str | None:
    """Choose the runtime at the first run, and tell the user; None if it was chosen before."""
    config, file = reading.config, reading.home / "config.toml"
    if config is None or places.config is not None or os.path.lexists(file):
        return None
    if config.origins.place(("sandbox", "runtime")) != DEFAULT:
        return None
    from nanoclaw.setup.sandboxes import choose  # noqa: PLC0415 -- only the first run looks

    choice = choose(os.environ)
    tell(f"nanoclaw: {choice.sentence}")
    return choice.runtime


def _first_answers(
    reading: Reading, read: Callable[[], Reading], places: Places, *, asks: bool, named: bool
) -> Reading:
    """Ask the questions of setup at the first run on a terminal, and write the answers; else name setup.

    `named`: the command line names a provider. Returns the configuration with the answers.
    """
    config, file = reading.result(), reading.home / "config.toml"
    if places.config is not None or os.path.lexists(file):
        return reading
    chosen = named or config.origins.place(("model", "provider")) != DEFAULT
    if asks and not (chosen and config.zone_doubt is None):
        from nanoclaw.cli.setup_dialogue import first_answers  # noqa: PLC0415 -- only the first run asks

        first_answers(config, file, asks_model=not chosen)
        return read()
    if not chosen:
        tell("nanoclaw: the agent is echo, which repeats what you write; `nanoclaw setup` chooses a model")
    return reading


def is_terminal() -> bool:
    """Return True if both input and output are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _logs_at_terminal() -> bool:
    """Return True if log lines would appear between the lines of the chat."""
    return sys.stderr is not None and sys.stderr.isatty()
