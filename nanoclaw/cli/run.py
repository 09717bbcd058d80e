"""`nanoclaw run`: the host with the terminal's chat, until the input ends or a signal comes."""

import signal
import sys
from collections.abc import AsyncIterator
from secrets import SystemRandom

import trio

from nanoclaw.channels.desk import FrontEnd
from nanoclaw.channels.pipe import Pipe
from nanoclaw.channels.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, Terminal
from nanoclaw.config import Config
from nanoclaw.host import open_host

DRAIN_S = 30.0
UNANSWERED = 1
SHOWN = 60
"""Characters of an unanswered message that are shown."""
LISTED = 20
"""Unanswered messages that are shown."""


async def run(config: Config, headless: bool, at_prompt: bool, drain_s: float) -> int:  # noqa: FBT001 -- trio.run passes positions
    """Run until the end; returns the exit code.

    Raises:
        HostFailed: the host cannot run.
    """
    front = _prompt(config) if at_prompt else Pipe()
    terminal = Terminal(front, SystemRandom())
    with trio.open_signal_receiver(*_stop_signals()) as signals:
        async with open_host(config, channels=[] if headless else [terminal]) as host:
            await host.bootstrap(CHAT, CHAT_NAME, owner_id=USER_ID, owner_name=USER_NAME)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
                if headless:
                    await trio.sleep_forever()
                terminal.open()
                await terminal.finished.wait()
                if isinstance(front, Pipe):
                    with trio.move_on_after(drain_s):
                        await terminal.settle()
                nursery.cancel_scope.cancel()
    return _verdict(terminal, front) if isinstance(front, Pipe) and not headless else 0


def _prompt(config: Config) -> FrontEnd:
    from nanoclaw.channels.prompt import Prompt  # noqa: PLC0415 -- prompt_toolkit is only wanted on a terminal

    return Prompt(config.assistant_name, config.home / "history")


def _stop_signals() -> list[signal.Signals]:
    """Ctrl-C, a service manager, and a terminal that is closed, unless that is to be outlived (nohup)."""
    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return [each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN]


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _verdict(terminal: Terminal, front: Pipe) -> int:
    """Name the lines that stayed unanswered, and why; returns the exit code."""
    problems = [f"line {number} was not sent: {reason}" for number, reason in front.refused.items()]
    for line in terminal.unanswered():
        why = line.failed or "it is kept for the next run"
        problems.append(f"unanswered: {line.text[:SHOWN]} ({why})")
    if len(problems) > LISTED:
        problems[LISTED:] = [f"and {len(problems) - LISTED} more"]
    for problem in problems:
        print(f"nanoclaw: {problem}", file=sys.stderr)
    return UNANSWERED if problems else 0
