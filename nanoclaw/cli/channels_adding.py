"""`nanoclaw channels add`: asks, tries the answers, writes them, starts the channel, and pairs the owner."""

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from attrs import Factory, define, evolve, field, frozen

from nanoclaw.channels.accounts import account_file, dump_account, read_account
from nanoclaw.channels.extras import missing_packages
from nanoclaw.channels.factory import (
    RESERVED,
    Account,
    ChannelContext,
    ChannelFactory,
    ChannelSetup,
    SetupFailed,
    SetupQuestion,
    context_of,
)
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.channels_pairing import ask as ask_host
from nanoclaw.cli.channels_pairing import missing_words, pair
from nanoclaw.cli.client import NoHost, NotRunning, RequestFailed, connect, until_signal
from nanoclaw.cli.first_run import template
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.places import Places
from nanoclaw.cli.setup_dialogue import ask, say
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config, ConfigError, NamedTable, load_config, read_table
from nanoclaw.setup.channels import ChannelTable, forget_trial, save_channel, secret_file, write_trial
from nanoclaw.setup.files import make_folder, require_writable, write_private
from nanoclaw.system.foreign import ForeignError, foreign_code, result_of

REFUSED = 1
"""Exit code: the network refuses it, and nothing was written."""
CHECK_S = 30.0
"""Time limit in seconds of the call that tries the answers."""
LONGEST_SECRET = 8192
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")


@frozen
class Adding:
    """What the command line says."""

    places: Places
    type: str
    factory: ChannelFactory[Any]
    given: Mapping[str, Any] = field(repr=False)
    """The answers that were given as options."""
    name: str
    settings: tuple[str, ...]
    check: bool
    pair: bool
    agent: str | None
    as_json: bool
    asks: bool

    @property
    def setup(self) -> ChannelSetup[Any]:
        """The questions and the check of the type."""
        assert self.factory.setup is not None  # noqa: S101 -- the command exists only with it
        return self.factory.setup


@define
class _Answers:
    """The answers so far."""

    values: dict[str, object]
    typed: dict[str, str] = Factory(dict)


def add(adding: Adding) -> int:
    """Add a channel; return the exit code. Raises ConfigError, UsageError."""
    reread = partial(
        load_config, home=adding.places.home, file=adding.places.config, flags=adding.places.flags
    )
    config, file = reread(), adding.places.config
    file = file or config.home / "config.toml"
    _require(adding, config, file)
    answers = _answered(adding, config)
    table = ChannelTable(adding.name, adding.type, answers.values, answers.typed)
    trial = write_trial(config.home, table)
    try:
        account = _checked(adding, config, table, trial)
        if isinstance(account, str):
            return _refused(account, as_json=adding.as_json)
        save_channel(config.home, file, _with_files(table), trial, template(config))
    finally:
        forget_trial(trial)
    _keep(config, adding.name, account)
    config = reread()
    started, hint = trio.run(_start, config, adding.name)
    _report(adding, file, account, started=started, hint=hint)
    return _pair(adding, config, reread, started=started)


def _require(adding: Adding, config: Config, file: Path) -> None:
    """Raise ConfigError for what keeps the channel from being added, before anything is asked."""
    name = adding.name
    if name in RESERVED:
        raise ConfigError(f"--name: {name} is {RESERVED[name]}; choose another name")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name: a name has up to 128 of A-Z a-z 0-9 . _ -, got {name!r:.80}")
    if name in config.channels and config.channels[name].type != adding.type:
        raise ConfigError(
            f"[channels.{name}] is of the type {config.channels[name].type}; choose another name with --name"
        )
    if not file.exists():
        raise ConfigError(f"{file} is missing; begin with `nanoclaw setup`, which chooses model and sandbox")
    if missing := missing_packages(adding.type):
        raise ConfigError(missing_words(adding.type, missing))
    require_writable(config.home)


# -- the answers -----------------------------------------------------------------


def _answered(adding: Adding, config: Config) -> _Answers:
    """Return the answers: those of options, then what is asked, then what the table has now."""
    table = config.channels.get(adding.name)
    before = {key: value for key, value in (table.values if table else {}).items() if key != "type"}
    answers = _Answers(dict(before))
    for setting in adding.settings:
        key, value = _setting(setting)
        answers.values[key] = value
    for question in adding.setup.questions:
        _answer(adding, question, answers)
    return answers


def _setting(text: str) -> tuple[str, object]:
    """Return the key and the value of `--set KEY=VALUE`."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise click.UsageError("argument --set: must be KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key.strip(), value


def _answer(adding: Adding, question: SetupQuestion, answers: _Answers) -> None:
    key = question.key
    if question.secret:
        _answer_secret(adding, question, answers)
    elif key in adding.given:
        _put(answers, key, str(adding.given[key]))
    elif adding.asks:
        _put(answers, key, _asked(question, answers.values.get(key, question.default)))
    elif key not in answers.values:
        if question.default is None:
            raise click.UsageError(f"--{key.replace('_', '-')} is missing: {question.prompt}")
        _put(answers, key, question.default)


def _put(answers: _Answers, key: str, value: str) -> None:
    """Keep an answer. An empty one leaves the key out."""
    if value:
        answers.values[key] = value
    else:
        answers.values.pop(key, None)


def _asked(question: SetupQuestion, offer: object) -> str:
    if question.help:
        say(question.help)
    shown = f" [{offer}]" if offer else ""
    while True:
        answer = ask(f"{question.prompt.rstrip(':')}{shown}:")
        if answer or offer is not None:
            return answer or str(offer)


def _answer_secret(adding: Adding, question: SetupQuestion, answers: _Answers) -> None:
    key, given = question.key, adding.given
    ways = [way for way in ("file", "env", "stdin") if f"{key}_{way}" in given]
    flag = key.replace("_", "-")
    if len(ways) > 1:
        raise click.UsageError(" and ".join(f"--{flag}-{way}" for way in ways) + " exclude each other")
    match ways:
        case ["file"]:
            answers.values[key] = {"file": str(Path(given[f"{key}_file"]).expanduser().absolute())}
        case ["env"]:
            if not _VARIABLE.fullmatch(given[f"{key}_env"]):  # it may be the secret, so it is not shown
                raise click.UsageError(f"argument --{flag}-env: must be the name of a variable")
            answers.values[key] = {"env": given[f"{key}_env"]}
        case ["stdin"]:
            _type(answers, key, sys.stdin.read(LONGEST_SECRET + 1) if sys.stdin is not None else "")
        case _ if adding.asks:
            _ask_secret(question, answers)
        case _ if key not in answers.values and question.default is None:
            raise click.UsageError(
                f"--{flag}-file, --{flag}-env or --{flag}-stdin is missing: {question.prompt}"
            )
        case _:
            pass


def _ask_secret(question: SetupQuestion, answers: _Answers) -> None:
    """Ask for a secret without showing it. Enter keeps the present one, if there is one."""
    if question.help:
        say(question.help)
    kept = question.key in answers.values
    hint = "Enter keeps the present one" if kept else "Enter: none" if question.default is not None else ""
    words = f"{question.prompt.rstrip(':')} (it is not shown{f'; {hint}' if hint else ''}):"
    while True:
        answer = ask(words, hidden=True)
        if not answer and (kept or question.default is not None):
            return
        if answer:
            _type(answers, question.key, answer)
            return


def _type(answers: _Answers, key: str, text: str) -> None:
    secret = text.strip()
    if not secret or len(secret) > LONGEST_SECRET or not (secret.isascii() and secret.isprintable()):
        raise click.UsageError(f"{key}: a secret is one line of printable ASCII characters; it was not shown")
    answers.typed[key] = secret
    answers.values.pop(key, None)


# -- the check -------------------------------------------------------------------


def _with_files(table: ChannelTable, files: Mapping[str, Path] | None = None) -> ChannelTable:
    """Return the table with the files of typed secrets in it: the given ones, else the stored ones."""
    named = {key: secret_file(table.name, key) if files is None else str(files[key]) for key in table.typed}
    return evolve(table, values={**table.values, **{key: {"file": file} for key, file in named.items()}})


def _checked(
    adding: Adding, config: Config, table: ChannelTable, trial: Mapping[str, Path]
) -> Account | str | None:
    """Try the answers. Return the account, None without a check, or why the network refuses them.

    Raises:
        ConfigError: the answers do not fit the keys of the table.
    """
    values = _with_files(table, trial).values
    settings = read_table(NamedTable(table.name, values), adding.factory.config, base=config.home)
    if not adding.check:
        return None
    if adding.asks:
        click.echo(harmless(f"Asking {adding.type} ... "), nl=False)
    context = context_of(config, adding.name)
    with silent():
        found: Account | str = trio.run(asked, adding.setup, settings, context)
    if adding.asks:
        say("\n" if isinstance(found, str) else f"this is {found.name}.")
    return found


async def asked(setup: ChannelSetup[Any], settings: Any, context: ChannelContext) -> Account | str:
    """Ask a network whether the settings are right. Return the account, or why it refuses them."""
    with trio.move_on_after(CHECK_S):
        try:
            with foreign_code(SetupFailed, ConfigError, ChannelUnavailable):
                found = await result_of(setup.check(settings, context))
        except (SetupFailed, ConfigError, ChannelUnavailable) as error:
            return str(error)
        except ForeignError as error:
            return f"the check failed: {error}"
        return found if isinstance(found, Account) else f"the check returned no Account, but {found!r:.100}"
    return f"the network did not answer within {CHECK_S:g} s; check the connection, and try again"


def _refused(reason: str, *, as_json: bool) -> int:
    if as_json:
        show(json.dumps({"ok": False, "reason": reason}, indent=2, ensure_ascii=False))
    else:
        tell(f"nanoclaw: {harmless(reason)}")
        tell("nanoclaw: nothing was written; --no-check writes it all the same")
    return REFUSED


def _keep(config: Config, name: str, account: Account | None) -> None:
    """Keep the account for `channels list`."""
    if account is not None:
        file = account_file(config.data, name)
        make_folder(file.parent)
        write_private(file, dump_account(account))


# -- its start -------------------------------------------------------------------


async def _start(config: Config, name: str) -> tuple[bool, str | None]:
    """Start the channel in the running host. Return whether it did, and what to do if it could not."""
    try:
        async with connect(config.data) as client:
            await ask_host(client, "channels.start", channel=name)
    except NotRunning:
        return False, None
    except (NoHost, RequestFailed) as error:
        return False, f"the running host has not started it: {error}; restart the host"
    return True, None


def _report(adding: Adding, file: Path, account: Account | None, *, started: bool, hint: str | None) -> None:
    if adding.as_json:
        return
    show(harmless(f"Written: [channels.{adding.name}] in {file}"))
    if account is not None and not adding.asks:
        show(harmless(f"Account: {account.name}"))
    if started:
        show("The running host has started the channel.")
    if hint is not None:
        tell(f"nanoclaw: {harmless(hint)}")


def _pair(adding: Adding, config: Config, reread: Any, *, started: bool) -> int:
    """Pair the owner on a terminal; else say how. Returns the exit code."""
    if adding.as_json:
        show(json.dumps(_result(adding, config, started=started), indent=2, ensure_ascii=False))
        return 0
    if adding.setup.how_to_pair is None:
        for line in adding.setup.next_steps:
            show(line)
        return 0
    if not adding.pair or not (adding.asks or started):
        show(f"`nanoclaw channels pair {adding.name}` makes a code for you to write in a direct chat.")
        return 0
    waits = adding.asks
    code: int = trio.run(until_signal, partial(pair, config, adding.name, adding.agent, reread, waits=waits))
    if code != 0:
        tell(f"nanoclaw: the channel is configured; `nanoclaw channels pair {adding.name}` makes a new code")
    return 0 if code == 1 else code


def _result(adding: Adding, config: Config, *, started: bool) -> Mapping[str, object]:
    """Return the result for programs, with a code if the channel runs."""
    pairs = adding.pair and adding.setup.how_to_pair is not None
    code = trio.run(_code, config, adding.name, adding.agent) if started and pairs else None
    account = read_account(config.data, adding.name)
    return {
        "ok": True,
        "name": adding.name,
        "type": adding.type,
        "account": account and account.name,
        "link": account and account.link,
        "started": started,
        "pairing": code,
    }


async def _code(config: Config, name: str, agent: str | None) -> Any:
    params = {} if agent is None else {"agent": agent}
    async with connect(config.data) as client:
        return await ask_host(client, "channels.pair", channel=name, **params)
