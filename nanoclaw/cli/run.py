"""`nanoclaw run`: the host with the terminal's chat, until the input ends or a signal comes."""

import signal
import sys
from collections.abc import AsyncIterator
from secrets import SystemRandom

import trio

from nanoclaw.channels.pipe import Pipe
from nanoclaw.channels.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, FrontEnd, Terminal
from nanoclaw.config import Config
from nanoclaw.host import open_host

DRAIN_S = 30.0
UNANSWERED = 1
SHOWN = 60
"""Characters of an unanswered message that are shown."""


async def run(config: Config, headless: bool, drain_s: float) -> int:  # noqa: FBT001 -- trio.run passes positions
    """Run until the end; returns the exit code.

    Raises:
        HostFailed: the host cannot run.
    """
    front = _front_end(config)
    terminal = Terminal(front, SystemRandom())
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
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


def _front_end(config: Config) -> FrontEnd:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return Pipe()
    from nanoclaw.channels.prompt import Prompt  # noqa: PLC0415 -- prompt_toolkit is only wanted on a terminal

    return Prompt(config.assistant_name, config.home / "history")


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _verdict(terminal: Terminal, front: Pipe) -> int:
    unanswered = terminal.unanswered()
    for line in unanswered:
        why = f" ({line.dropped})" if line.dropped else ""
        print(f"nanoclaw: unanswered: {line.text[:SHOWN]}{why}", file=sys.stderr)
    return UNANSWERED if unanswered or front.refused else 0
