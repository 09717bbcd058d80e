"""`nanoclaw config`: prints all values with their origins, and checks them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
from attrs import fields, frozen

from nanoclaw.channels.factory import ConfiguredChannel, read_channels
from nanoclaw.cli.output import show as print_result
from nanoclaw.cli.parsing import Command, Group
from nanoclaw.cli.places import Places, with_places
from nanoclaw.config import Config, ConfigError, Reading, read_config
from nanoclaw.config.errors import in_order
from nanoclaw.config.keys import KEYS
from nanoclaw.config.kinds import printable
from nanoclaw.config.layers import HOME_VARIABLE
from nanoclaw.config.origins import DEFAULT
from nanoclaw.runtimes import configured_runtime, require_provider, table_problems, why_refused

SECRET = "(secret)"  # noqa: S105 -- shown in its place
_json = click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")


@click.group(name="config", cls=Group, short_help="look at the configuration")
def config() -> None:
    """Look at the configuration."""


# -- show -----------------------------------------------------------------------


@frozen
class _Row:
    key: str
    value: object
    place: str
    secret: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the value for programs. A secret has no value."""
        value = None if self.secret else _plain(self.value)
        return {"key": self.key, "value": value, "from": self.place, "secret": self.secret}

    def cells(self) -> tuple[str, str, str]:
        """Return the three cells of a row for people."""
        value = SECRET if self.secret else _text(_plain(self.value))
        return printable(self.key), printable(value), printable(self.place)


@config.command(cls=Command)
@_json
@with_places
def show(places: Places, *, as_json: bool) -> int:
    """Print each value and its origin. Secrets are never shown."""
    reading = _read(places)
    rows = [*_rows(reading.result(), _place_of_home(places.home))]
    if as_json:
        print_result(json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False))
        return 0
    cells = [row.cells() for row in rows]
    key, value = (max(len(each[n]) for each in cells) for n in (0, 1))
    print_result("\n".join(f"{a:<{key}}  {b:<{value}}  {c}" for a, b, c in cells))
    return 0


def _read(places: Places) -> Reading:
    return read_config(home=places.home, file=places.config, flags=places.flags)


def _place_of_home(home: Path | None) -> str:
    if home is not None:
        return "--home"
    return HOME_VARIABLE if os.environ.get(HOME_VARIABLE) else DEFAULT


def _rows(config_: Config, home_place: str) -> Iterator[_Row]:
    yield _Row("home", config_.home, home_place)
    for key in KEYS:
        value: object = config_
        for part in key.path:
            value = getattr(value, part)
        yield _Row(key.name, value, _place(config_, key.path))
    for model, price in config_.prices.items():
        for field in fields(type(price)):
            path = ("prices", model, field.name)
            yield _Row(".".join(path), getattr(price, field.name), config_.origins.place(path))
    read, _ = read_channels(config_.channels, config_.home)
    known = {each.name: each for each in read}
    for name in config_.channels:
        yield from _channel_rows(config_, name, known.get(name))
    for name, table in config_.runtimes.items():
        for key_ in table.values:
            yield _Row(f"runtimes.{name}.{key_}", None, table.origins.place((key_,)), secret=True)


def _place(config_: Config, path: tuple[str, ...]) -> str:
    zone = config_.zone_of_system if path == ("timezone",) else None
    return config_.origins.place(path) if zone is None else f"{DEFAULT}: {zone.source}"


def _channel_rows(config_: Config, name: str, channel: ConfiguredChannel | None) -> Iterator[_Row]:
    """Yield the keys of one channel. If its class is not known, any of them may be a secret."""
    table = config_.channels[name]
    yield _Row(f"channels.{name}.type", table.type, table.origins.place(("type",)))
    if channel is None:
        for key in table.values:
            if key != "type":
                yield _Row(f"channels.{name}.{key}", None, table.origins.place((key,)), secret=True)
        return
    for field in fields(type(channel.settings)):
        value, place = getattr(channel.settings, field.name), table.origins.place((field.name,))
        yield _Row(f"channels.{name}.{field.name}", value, place, secret=field.repr is False)


def _plain(value: object) -> object:
    return json.loads(json.dumps(value, default=str))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


# -- check ----------------------------------------------------------------------


@config.command(cls=Command)
@_json
@with_places
def check(places: Places, *, as_json: bool) -> int:
    """Check all that a start and its agents read, and print each problem in one line.

    Exit codes: 0 there is no problem; 1 there are some.
    """
    problems, hints = checked(places)
    if as_json:
        print_result(
            json.dumps({"ok": not problems, "problems": problems, "hints": hints}, ensure_ascii=False)
        )
    else:
        lines = [*problems, *(f"hint: {hint}" for hint in hints)]
        print_result("\n".join(lines) or "the configuration is good")
    return 1 if problems else 0


def checked(places: Places) -> tuple[tuple[str, ...], list[str]]:
    """Return the problems of all that a start and its agents read, and hints."""
    try:
        reading = _read(places)
    except ConfigError as error:
        return error.problems, []
    found, unread = _agent_problems(reading)
    problems = in_order([*settings_problems(reading), *found])
    return problems, [*reading.hints, *reading.unread, *_zone_doubts(reading), *unread]


def _zone_doubts(reading: Reading) -> Iterator[str]:
    doubt = reading.config and reading.config.zone_doubt
    if doubt:
        yield doubt


def settings_problems(reading: Reading) -> Iterator[str]:
    """Find all errors in the settings, including those of channels and runtimes."""
    yield from reading.problems
    _, problems = read_channels(reading.channels, reading.home)
    yield from problems
    config_ = reading.config
    chosen = "" if config_ is None else config_.sandbox.runtime
    others = {name: table for name, table in reading.runtimes.items() if name != chosen}
    yield from table_problems(others, reading.home)
    if config_ is not None:
        try:
            runtime = configured_runtime(config_)
            require_provider(config_, runtime)
            second = config_.model.fallback and config_.model.fallback.provider
            if second and (refusal := why_refused(runtime, second)) is not None:
                yield f"{config_.origins.label(('model', 'fallback', 'provider'))}: {refusal}"
        except ConfigError as error:
            yield from error.problems


def _agent_problems(reading: Reading) -> tuple[list[str], list[str]]:
    """Find what would keep agents from running.

    Returns:
        The problems, and hints about what could not be checked.
    """
    from nanoclaw.cli import config_checks  # noqa: PLC0415 -- other commands need no databases

    if reading.config is None:
        return config_checks.read_containers(reading.home / "groups")[1], []
    config_ = reading.config
    containers, problems = config_checks.read_containers(config_.groups)
    problems.extend(config_checks.place_problems(config_))
    problems.extend(config_checks.model_problems(config_))
    problems.extend(config_checks.key_problems(config_, containers))
    unset = list(config_checks.unset_variables(config_, os.environ))
    unset.extend(config_checks.key_doubts(config_, containers))
    try:
        runtime = configured_runtime(config_)
    except ConfigError:  # reported with the settings
        return problems, unset
    refused, hints = config_checks.runner_problems(config_, runtime, containers)
    return [*problems, *refused], [*unset, *hints]
