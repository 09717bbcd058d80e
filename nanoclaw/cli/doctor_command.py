"""The command line of `nanoclaw doctor`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import trio

from nanoclaw.cli.client import until_signal
from nanoclaw.cli.config_commands import checked
from nanoclaw.cli.doctor.channels import channels
from nanoclaw.cli.doctor.data import data
from nanoclaw.cli.doctor.findings import Finding, has_problem
from nanoclaw.cli.doctor.host import host
from nanoclaw.cli.doctor.machine import machine
from nanoclaw.cli.doctor.models import models
from nanoclaw.cli.doctor.sandbox import sandbox
from nanoclaw.cli.output import show
from nanoclaw.cli.parsing import Command
from nanoclaw.cli.places import Places, with_places
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config, ConfigError, config_of, read_config
from nanoclaw.config.layers import HOME_VARIABLE

PROBLEMS = 1
"""Exit code: something keeps the host from its work."""
DOCTOR = (
    "Look at all that a host needs: configuration, model, channels, data directory, limits of the "
    "system, clock, runtime, sandboxes, and the running host. Each line says what it found, and what to do. "
    "Nothing is changed."
)
EPILOG = (
    "Works while a host runs and while none does, and with a config.toml that cannot be read. Exit codes: 0 "
    "all is well, or there are only warnings; 1 there are problems; 2 the doctor cannot look."
)


@click.command(
    "doctor", cls=Command, help=DOCTOR, short_help="look for what is wrong, and say what to do", epilog=EPILOG
)
@click.option("--call", is_flag=True, help="ask each model for a few words, too, which costs a little")
@click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")
@with_places
def doctor(places: Places, *, call: bool, as_json: bool) -> int:
    """Look, and print the findings; returns the exit code."""
    found = list[Finding]()

    async def look() -> int:
        found.extend(await _look(places, call=call))
        return 0

    with silent():
        code = trio.run(until_signal, look)
    if code != 0:
        return code
    problem = has_problem(found)
    if as_json:
        result = {"ok": not problem, "findings": [finding.as_json() for finding in found]}
        show(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show("\n".join(finding.line for finding in found))
    return PROBLEMS if problem else 0


async def _look(places: Places, *, call: bool) -> list[Finding]:
    config, readable = _config(places)
    found = await trio.to_thread.run_sync(lambda: list(_of_configuration(places)))
    if readable:
        found += await models(config, call=call)
        found += await channels(config)
    found += await trio.to_thread.run_sync(lambda: [*data(config), *machine(config), *sandbox(config)])
    return [*found, *await host(config)]


def _config(places: Places) -> tuple[Config, bool]:
    """Return the configuration; or its defaults, with the places that are known, where it cannot be used."""
    try:
        return read_config(home=places.home, file=places.config, flags=places.flags).result(), True
    except ConfigError:
        home = Path(places.home or os.environ.get(HOME_VARIABLE) or "~/.nanoclaw").expanduser().absolute()
        given = {key: value for key, value in places.flags.items() if value is not None}
        return config_of(home, given), False


def _of_configuration(places: Places) -> Iterator[Finding]:
    problems, hints = checked(places)
    for problem in problems:
        yield Finding("configuration", "problem", problem, "" if "; " in problem else "correct it")
    for hint in hints:
        yield Finding("configuration", "warning", hint)
    if not problems and not hints:
        yield Finding("configuration", "ok", "it is good; `nanoclaw config show` prints it")
