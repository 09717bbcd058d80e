"""The commands that ask the running host: chat, status, tree, logs."""

import shlex
from collections.abc import Awaitable, Callable
from functools import partial

import click
import trio
from click.shell_completion import CompletionItem

from nanoclaw.cli.client import until_signal
from nanoclaw.cli.output import stdout
from nanoclaw.cli.parsing import COUNT, SECONDS, Command, DescribedArgument
from nanoclaw.cli.places import Places, with_places
from nanoclaw.config import Config, load_config

TIMEOUT_S = 120.0
LAST = 200
CHAT = (
    "Talk to the running host in the terminal's chat. With TEXT, say it, print the replies and end. Without, "
    "on a terminal, show a prompt until Ctrl-C or Ctrl-D; with a pipe, each line of input is a message."
)
CHAT_CODES = (
    "Exit codes: 0 all is well; 1 a message stayed unanswered, and stderr names it; 2 there is no host to "
    "talk to."
)
STATUS = (
    "Print what the running host is doing: channels, living sessions, and what keeps them from their work."
)
TREE = "Print the live tree of actors of the running host."
LOGS = (
    "Print the latest log events of the running host, which keeps the last 5,000 in memory: all from info "
    "up, also where its own terminal shows less. Of a session in a container also what the engine kept."
)
AS_JSON = "print JSON, for programs"


def _config(places: Places) -> Config:
    return load_config(home=places.home, file=places.config, flags=places.flags)


def _ask(main: Callable[[], Awaitable[int]]) -> int:
    return trio.run(until_signal, main)


def _sessions(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from nanoclaw.cli.completion import completed  # noqa: PLC0415 -- only for completion

    return completed(context, "session", incomplete)


@click.command("chat", cls=Command, help=CHAT, short_help="talk to the running host", epilog=CHAT_CODES)
@click.argument("text", cls=DescribedArgument, nargs=-1, help="one message; words are joined")
@click.option(
    "--timeout",
    type=SECONDS,
    default=TIMEOUT_S,
    metavar="SECONDS",
    help=f"how long to wait for answers; default: {TIMEOUT_S:g}",
)
@with_places
def chat(places: Places, text: tuple[str, ...], timeout: float) -> int:
    """Talk; returns the exit code."""
    from nanoclaw.cli.chat import chat as talk  # noqa: PLC0415 -- the others need no chat
    from nanoclaw.cli.chat import converse  # noqa: PLC0415
    from nanoclaw.cli.run_command import is_terminal  # noqa: PLC0415

    stdout()  # a closed one could not show the answer
    if not text and is_terminal():
        return _ask(partial(converse, _config(places)))
    said = " ".join(text) if text else None
    if said is not None and not said.strip():
        raise click.UsageError("the text is empty: say something, or leave it out for a prompt")
    return _ask(partial(talk, _config(places), said, timeout, _again(places)))


def _again(places: Places) -> str:
    """Return the command that reaches the same chat once more."""
    named = {
        "--home": places.home,
        "--data": places.data,
        "--groups": places.groups,
        "--config": places.config,
    }
    options = [str(part) for flag, value in named.items() if value is not None for part in (flag, value)]
    return shlex.join(["nanoclaw", *options, "chat"])


@click.command("status", cls=Command, help=STATUS, short_help="what the running host is doing")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@with_places
def status(places: Places, *, as_json: bool) -> int:
    """Print the status; returns the exit code."""
    from nanoclaw.cli.status import status as shown  # noqa: PLC0415 -- as above

    return _ask(partial(shown, _config(places), as_json=as_json))


@click.command("tree", cls=Command, help=TREE, short_help="its actors")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@with_places
def tree(places: Places, *, as_json: bool) -> int:
    """Print the tree; returns the exit code."""
    from nanoclaw.cli.status import tree as shown  # noqa: PLC0415 -- as above

    return _ask(partial(shown, _config(places), as_json=as_json))


@click.command("logs", cls=Command, help=LOGS, short_help="its log")
@click.argument(
    "session",
    cls=DescribedArgument,
    required=False,
    help="only of this session: its id, the beginning of that, or its chat",
    shell_complete=_sessions,
)
@click.option("-f", "--follow", is_flag=True, help="go on with events as they come")
@click.option(
    "-n", "--last", type=COUNT, default=LAST, metavar="N", help=f"begin with the last N; default: {LAST}"
)
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@with_places
def logs(places: Places, session: str | None, *, follow: bool, last: int, as_json: bool) -> int:
    """Print log events; returns the exit code."""
    from nanoclaw.cli.logs_command import logs as shown  # noqa: PLC0415 -- as above

    return _ask(partial(shown, _config(places), session, last=last, follow=follow, as_json=as_json))
