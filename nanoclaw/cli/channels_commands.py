"""The commands of `nanoclaw channels` that are more than one operation: add, pair, status, remove."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import click
import trio
from click.shell_completion import CompletionItem

from nanoclaw.cli.asking_commands import AS_JSON
from nanoclaw.cli.client import until_signal
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.parsing import Command, DescribedArgument, Group, SectionOption
from nanoclaw.cli.places import Places, options, with_places
from nanoclaw.cli.run_command import is_terminal
from nanoclaw.config import ConfigError, load_config
from nanoclaw.config.entry_points import installed, load
from nanoclaw.operations.declaration import Listed

ADD = (
    "Connect the assistant to a chat network: ask for what that needs, try it with one call, write the table "
    "of config.toml, store each secret in a file that only you can read, and start the channel. Then it "
    "shows a code. Whoever writes the code to the assistant in a direct chat is known there as the owner."
)
ADD_CODES = (
    "Without a terminal nothing is asked: give an option for each answer. What a table has already is "
    "offered first. Exit codes: 0 done; 1 the network refuses it, and nothing was written; 2 the options, "
    "the configuration or the packages cannot be used."
)
PAIR = (
    "Make a code by which you show who you are on a chat network, and wait until somebody has written it to "
    "the assistant in a direct chat there. That account is then yours, as an owner. The code is valid for "
    "ten minutes and works once. If no host runs, one runs meanwhile."
)
STATUS = (
    "Print the state of the channels of the running host: both halves, what is wrong and since when, and how "
    "many deliveries wait."
)
REMOVE = (
    "Remove a channel from config.toml, and stop it in the running host. Its chats, their history and the "
    "rights of their users stay, and so does what the channel keeps in its folder."
)
GROUP_OF_CHANNELS = "nanoclaw.channels"
ANSWERS = "Answers"


def _completed(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from nanoclaw.cli.completion import completed_from_list  # noqa: PLC0415 -- only for completion

    return completed_from_list(context, Listed("channels.list", "name", by="name"), incomplete)


class Types(Group):
    """`nanoclaw channels add`: a command for each installed type of channel."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's
        """Return the types that can be set up."""
        return [name for name in installed(GROUP_OF_CHANNELS) if _can_be_added(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Make the command of a type from the questions of its factory. Raises ConfigError."""
        if cmd_name not in installed(GROUP_OF_CHANNELS):
            return None
        return _adding(cmd_name)


def _can_be_added(name: str) -> bool:
    with suppress(ConfigError):
        return _factory(name).setup is not None
    return False


def _factory(name: str) -> Any:
    from nanoclaw.channels.factory import ChannelFactory  # noqa: PLC0415 -- other commands need no channels

    return load(GROUP_OF_CHANNELS, name, ChannelFactory, where=f"channels add {name}")


def _adding(type_: str) -> click.Command:
    factory = _factory(type_)
    if factory.setup is None:
        raise ConfigError(
            f"the channel {type_} has no setup: write its table [channels.{type_}] by hand, as its page says"
        )
    command = Command(
        type_,
        help=f"Connect the assistant to {type_}.",
        short_help=f"connect the assistant to {type_}",
        epilog=ADD_CODES,
        callback=with_places(partial(_add, type_, factory)),
        params=[option for question in factory.setup.questions for option in _answers(question)],
    )
    command.params += _ADD_OPTIONS()
    command.params += options()
    return command


def _answers(question: Any) -> Sequence[click.Option]:
    """Return the options for the answer to one question."""
    flag, key, words = question.key.replace("_", "-"), question.key, question.prompt.rstrip(":?. ")
    if not question.secret:
        words = f"{words}; default: {question.default}" if question.default else words
        return [SectionOption([key, f"--{flag}"], section=ANSWERS, metavar="TEXT", help=words)]
    return [
        SectionOption(
            [f"{key}_file", f"--{flag}-file"],
            section=ANSWERS,
            metavar="PATH",
            help=f"{words}: a file with it",
        ),
        SectionOption(
            [f"{key}_env", f"--{flag}-env"],
            section=ANSWERS,
            metavar="VARIABLE",
            help=f"{words}: a variable of the host's environment",
        ),
        SectionOption(
            [f"{key}_stdin", f"--{flag}-stdin"],
            section=ANSWERS,
            is_flag=True,
            help=f"{words}: stdin; kept in <home>/secrets",
        ),
    ]


def _ADD_OPTIONS() -> list[click.Parameter]:  # noqa: N802 -- fresh copies of what would be a constant
    return [
        SectionOption(["--name"], metavar="NAME", help="the channel's name; default: its type"),
        SectionOption(
            ["settings", "--set"],
            multiple=True,
            metavar="KEY=VALUE",
            help="another key of the table; the value is TOML or plain text; may be repeated",
        ),
        SectionOption(
            ["--check/--no-check"], default=True, help="ask the network whether it is right; default: yes"
        ),
        SectionOption(["--pair/--no-pair"], default=True, help="make a code for pairing; default: yes"),
        SectionOption(["--agent"], metavar="AGENT", help="who answers you there; default: main"),
        SectionOption(["--json", "as_json"], is_flag=True, help="ask nothing, wait for nothing, print JSON"),
    ]


def _add(type_: str, factory: Any, places: Places, **values: Any) -> int:
    from nanoclaw.cli.channels_adding import Adding, add  # noqa: PLC0415 -- needs the packages of channels

    asks = is_terminal() and not values["as_json"]
    named = {key: values.pop(key) for key in ("name", "settings", "check", "pair", "agent", "as_json")}
    given = {key: value for key, value in values.items() if value not in {None, False}}
    adding = Adding(places, type_, factory, given, asks=asks, **{**named, "name": named["name"] or type_})
    return add(adding)


def _add_group(places: Places) -> int:  # noqa: ARG001 -- remembered for the command of the type
    return 0


@click.command("pair", cls=Command, help=PAIR, short_help="show who you are on a chat network")
@click.argument("name", cls=DescribedArgument, help="the channel's name", shell_complete=_completed)
@click.option("--agent", metavar="AGENT", help="who answers you there; default: main")
@click.option("--json", "as_json", is_flag=True, help="wait for nothing, and print JSON; a host must run")
@with_places
def pair(places: Places, name: str, *, agent: str | None, as_json: bool) -> int:
    """Make a code, and wait for it; returns the exit code."""
    from nanoclaw.cli.channels_pairing import pair as paired  # noqa: PLC0415 -- may need a host

    config = load_config(home=places.home, file=places.config, flags=places.flags)
    reread = partial(load_config, home=places.home, file=places.config, flags=places.flags)
    return trio.run(until_signal, partial(paired, config, name, agent, reread, waits=not as_json))


@click.command("status", cls=Command, help=STATUS, short_help="what is wrong with which channel")
@click.argument(
    "name", cls=DescribedArgument, required=False, help="only this channel", shell_complete=_completed
)
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@with_places
def status(places: Places, name: str | None, *, as_json: bool) -> int:
    """Print the state; returns the exit code."""
    from nanoclaw.cli.channels_status import status as shown  # noqa: PLC0415 -- as above

    config = load_config(home=places.home, file=places.config, flags=places.flags)
    return trio.run(until_signal, partial(shown, config, name, as_json=as_json))


@click.command("remove", cls=Command, help=REMOVE, short_help="disconnect from a chat network")
@click.argument("name", cls=DescribedArgument, help="the channel's name", shell_complete=_completed)
@click.option("--forget-secret", is_flag=True, help="also delete the files of its secrets in <home>/secrets")
@click.option("--yes", is_flag=True, help="do not ask whether it is meant")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@with_places
def remove(places: Places, name: str, *, forget_secret: bool, yes: bool, as_json: bool) -> int:
    """Remove the table, and stop the channel; returns the exit code. Raises ConfigError."""
    from nanoclaw.cli.channels_removing import remove as removed  # noqa: PLC0415 -- as above

    config = load_config(home=places.home, file=places.config, flags=places.flags)
    if not yes and not _meant(f"Remove the channel {name}? Its chats and their history stay."):
        tell("nanoclaw: nothing was changed")
        return 1
    result: Mapping[str, object] = removed(places, config, name, forget=forget_secret)
    if as_json:
        show(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


def _meant(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask at. Say --yes to do it")
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def _group() -> click.Group:
    group = Types(
        "add", help=ADD, short_help="connect the assistant to a chat network", no_args_is_help=False
    )
    group.params = list(options())
    group.callback = with_places(_add_group)
    return group


def commands() -> Mapping[str, click.Command]:
    """Return the commands by name."""
    return {"add": _group(), "pair": pair, "status": status, "remove": remove}
