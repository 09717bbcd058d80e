"""`nanoclaw completion`, and what a shell is told of ids and names."""

from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from secrets import SystemRandom

import click
import trio
from click.shell_completion import CompletionItem

from actors import ActorError
from nanoclaw.cli.bash import completion_class
from nanoclaw.cli.client import NoHost, RequestFailed, connect
from nanoclaw.cli.parsing import Command, DescribedArgument
from nanoclaw.cli.places import Places
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.operations import Caller, Catalogue, OperationFailed, Operations, SessionFiles, references
from nanoclaw.operations.declaration import Kind, Listed
from nanoclaw.operations.offline import open_to_read
from nanoclaw.store import StoreError, ThreadExecutor, open_reader, read_once
from nanoclaw.system.clock import SystemClock

WITHIN_S = 1.0
"""Seconds that a completion may take."""
PROBLEMS = (
    ConfigError,
    NoHost,
    RequestFailed,
    OperationFailed,
    StoreError,
    ActorError,
    OSError,
    trio.TooSlowError,
)
"""Errors that leave a shell without completions: there is no place to show them."""
HELP = (
    "Print the script by which a shell completes commands, options, ids and names. Put it where your shell "
    'reads it, such as `eval "$(nanoclaw completion bash)"` in ~/.bashrc.'
)


@click.command("completion", cls=Command, help=HELP, short_help="complete commands and names in your shell")
@click.argument(
    "shell", cls=DescribedArgument, type=click.Choice(["bash", "zsh", "fish"]), help="the shell that you use"
)
def completion(shell: str) -> int:
    """Print the script; returns the exit code."""
    from nanoclaw.cli.command import COMPLETE  # noqa: PLC0415 -- it imports this
    from nanoclaw.cli.output import show  # noqa: PLC0415
    from nanoclaw.cli.root import nanoclaw  # noqa: PLC0415

    found = completion_class(shell)
    if found is not None:
        show(found(nanoclaw, {}, "nanoclaw", COMPLETE).source())
    return 0


def completed(context: click.Context, kind: Kind, incomplete: str) -> list[CompletionItem]:
    """Return the names of a kind with that prefix: from the running host, or from the files if none runs."""
    names: Iterable[str] = ()
    with suppress(*PROBLEMS):
        config = _config(context)
        names = trio.run(_names, config, kind)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def completed_from_list(context: click.Context, listed: Listed, incomplete: str) -> list[CompletionItem]:
    """Return, from the rows that an operation lists, the fields with that prefix."""
    rows: Iterable[Mapping[str, object]] = ()
    params = {listed.by: context.params[listed.by]} if context.params.get(listed.by) else {}
    with suppress(*PROBLEMS):
        rows = trio.run(_rows, _config(context), listed.operation, params)
    names = [str(row.get(listed.field)) for row in rows]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _config(context: click.Context) -> Config:
    """Return the configuration of an unfinished line, with the places that its contexts have so far."""
    places, current = Places(), list[click.Context]()
    here: click.Context | None = context
    while here is not None:
        current, here = [*current, here], here.parent
    for each in current:
        places = places.within(
            Places(*(each.params.get(key) for key in ("home", "data", "groups", "config")))
        )
    return load_config(home=places.home, file=places.config, flags=places.flags)


async def _names(config: Config, kind: Kind) -> list[str]:
    with trio.fail_after(WITHIN_S):
        try:
            return await _from_host(config, kind)
        except NoHost:
            if kind not in references.IN_FILES:
                return read_once(config.data / "v2.db", lambda connection: references.names(connection, kind))
            executor = ThreadExecutor()
            async with open_reader(config.data / "v2.db", executor) as central:
                return await SessionFiles(config.data, executor, central, SystemClock().now).names(kind)


async def _from_host(config: Config, kind: Kind) -> list[str]:
    async with connect(config.data) as client, aclosing(client.results("names", kind=kind)) as results:
        async for result in results:
            return [str(name) for name in result]
    return []


async def _rows(config: Config, operation: str, params: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the rows that an operation lists: from the running host, or from the files if none runs."""
    found: object = None
    with trio.fail_after(WITHIN_S):
        try:
            async with connect(config.data) as client:
                found = [answer async for answer in client.results(operation, **params)][-1]
        except NoHost:
            found = await _rows_of_files(config, operation, params)
    return found if isinstance(found, list) else []


async def _rows_of_files(config: Config, operation: str, params: Mapping[str, object]) -> object:
    result: object = None
    async with open_to_read(
        config.data,
        config.groups,
        zone=config.timezone,
        executor=ThreadExecutor(),
        clock=SystemClock(),
        random=SystemRandom(),
    ) as ground:
        with suppress(OperationFailed):
            operations = Operations(Catalogue.installed(), ground)
            result = await operations.perform(operation, params, Caller.local(), lambda _: None)
    return result
