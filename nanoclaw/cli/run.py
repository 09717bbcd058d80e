"""`nanoclaw run`: the host with the terminal's chat, until the input ends or a signal comes."""

import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from secrets import SystemRandom
from typing import TYPE_CHECKING

import trio

from nanoclaw.channels.factory import configured_channels
from nanoclaw.channels.terminal.desk import FrontEnd
from nanoclaw.channels.terminal.pipe import Pipe
from nanoclaw.channels.terminal.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, Terminal
from nanoclaw.channels.terminal.words import greeting
from nanoclaw.cli.output import tell
from nanoclaw.cli.verdict import verdict
from nanoclaw.config import Config
from nanoclaw.control import Control
from nanoclaw.host import open_host
from nanoclaw.logs.ring import LogRing
from nanoclaw.recording import Record

if TYPE_CHECKING:
    from nanoclaw.channels.terminal.prompt import Prompt

KEPT = "it is kept for the next run"


async def run(  # noqa: PLR0913, PLR0917 -- trio.run passes positions
    config: Config,
    ring: LogRing,
    headless: bool,  # noqa: FBT001 -- trio.run passes positions
    at_prompt: bool,  # noqa: FBT001
    drain_s: float,
    record: Record | None = None,
    begin_anew: bool = False,  # noqa: FBT001, FBT002
    reread: Callable[[], Config] | None = None,
) -> int:
    """Run until the input ends or a signal comes. Return the exit code.

    Raises:
        ConfigError: a channel of the configuration cannot be made.
        HostFailed: the host cannot run.
    """
    channels = configured_channels(config)
    prompt = _prompt(config) if at_prompt and not headless else None
    front: FrontEnd | None = prompt or (None if headless else Pipe())
    terminal = Terminal(front, SystemRandom(), zone=config.timezone, assistant=config.prompt.assistant_name)
    with trio.open_signal_receiver(*_stop_signals()) as signals:
        async with open_host(
            config,
            channels=[terminal, *channels],
            control=Control(terminal, ring, reread),
            record=record,
            begin_anew=begin_anew,
        ) as host:
            if record is not None:
                _say_recorded(record)
            if at_prompt and not headless and config.zone_doubt:
                tell(f"nanoclaw: {config.zone_doubt}")
            await host.bootstrap(CHAT, CHAT_NAME, owner_id=USER_ID, owner_name=USER_NAME)
            who = partial(host.answering, CHAT)
            if prompt is not None:
                prompt.greeting = greeting(config.prompt.assistant_name, await who())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
                terminal.open(who)
                await terminal.finished.wait()
                if isinstance(front, Pipe):
                    with trio.move_on_after(drain_s):
                        await _drain(terminal, front)
                nursery.cancel_scope.cancel()
            if isinstance(front, Pipe):
                front.cut()
    return _exit_code(terminal, front) if isinstance(front, Pipe) else 0


def _exit_code(terminal: Terminal, pipe: Pipe) -> int:
    """Report the lines without an answer, and return the exit code."""
    kept = f"{pipe.trouble}; {KEPT}" if pipe.trouble else KEPT
    return verdict(pipe.refused, terminal.unanswered(), kept)


async def _drain(terminal: Terminal, pipe: Pipe) -> None:
    """Wait until every line has its answer, or the output fails."""
    async with trio.open_nursery() as nursery:

        async def settle() -> None:
            await terminal.settle()
            nursery.cancel_scope.cancel()

        nursery.start_soon(settle)
        await pipe.failure()
        nursery.cancel_scope.cancel()


def _say_recorded(record: Record) -> None:
    """Print a notice that the run is recorded, because the user decides whether to keep it."""
    what = "names, ids and times, no words" if record.redacted else "all messages"
    tell(f"nanoclaw: recording into {record.folder}; it contains {what}")


def _prompt(config: Config) -> "Prompt":
    from nanoclaw.channels.terminal.prompt import Prompt  # noqa: PLC0415 -- prompt_toolkit is only wanted on a terminal

    return Prompt(config.prompt.assistant_name, config.home / "history")


def _stop_signals() -> list[signal.Signals]:
    """Return the signals of Ctrl-C, a service manager and a closed terminal, unless nohup ignores that."""
    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return [each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN]


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()
