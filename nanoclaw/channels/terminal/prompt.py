"""The terminal's front end when a person sits at it: a prompt with history, replies above it as they come.

prompt_toolkit runs on asyncio, so it runs in a thread of its own, and nothing asyncio leaves this module.
The host never waits for that thread without a bound: a terminal that is stopped (Ctrl-S) holds up nobody.
"""

import asyncio  # noqa: TID251 -- prompt_toolkit's; see above
import os
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, cast

import structlog
import trio
from attrs import Factory, define, frozen
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, get_app_or_none
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory
from prompt_toolkit.validation import ValidationError, Validator

from nanoclaw.channels.terminal.desk import Speaker
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.records import NotAccepted

QUIT_S = 1.0
"""A prompt that was told to end and has not by then is left to itself."""
BOLD, RED, PLAIN = "\x1b[1;36m", "\x1b[1;31m", "\x1b[0m"

_log = structlog.get_logger()


@define(eq=False)
class Prompt:
    """A prompt on the terminal; `history` is the file that keeps what was typed."""

    assistant: str
    history: Path
    _above: "_Above" = Factory(lambda: _Above())  # noqa: PLW0108 -- it is defined below
    _typing: bool = False
    _leaving: bool = False

    async def read(self, speaker: Speaker) -> None:
        """Say what is typed, each message stored before the next; return at Ctrl-C, Ctrl-D or a hang-up."""
        said, lines = trio.open_memory_channel[str](100_000)
        with _left_as_found(sys.stdin.fileno()), _taken_over(self._above):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._say, speaker, lines)
                async with said:
                    await self._converse(said.send_nowait)

    async def show(self, text: str) -> None:
        """Show a reply; raises OSError where the terminal is gone."""
        await self._print(f"{BOLD}{self.assistant}{PLAIN}  {harmless(text)}\n")

    def typing(self, *, on: bool) -> None:
        """Show that the agent is at work, or no longer."""
        if self._typing != on:
            self._typing = on
            self._above.in_prompt(_redraw)

    async def _say(self, speaker: Speaker, lines: trio.MemoryReceiveChannel[str]) -> None:
        async for line in lines:
            try:
                routed = await speaker.say(line)
                problem = routed.dropped and f"no agent will answer this: {routed.dropped}"
            except NotAccepted as error:
                problem = f"not sent: {error}; fix this, then press arrow-up to get your message back"
            if problem:
                await self._print(f"{RED}{problem}{PLAIN}\n")

    async def _print(self, text: str) -> None:
        """Return when the terminal has it."""
        written, errors, token = trio.Event(), list[OSError](), trio.lowlevel.current_trio_token()

        def done(error: OSError | None) -> None:
            errors.extend([error] if error else [])
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(written.set)

        await trio.to_thread.run_sync(self._above.write, sys.stdout, text, done, abandon_on_cancel=True)
        await written.wait()
        if errors:
            raise errors[0]

    # -- the thread

    async def _converse(self, say: Callable[[str], None]) -> None:
        """Run the prompt's thread; on cancellation the prompt is ended first."""
        ended, scope = trio.Event(), trio.CancelScope(shield=True)
        token = trio.lowlevel.current_trio_token()

        def post(text: str) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(say, text)

        async def thread() -> None:
            with scope:
                await trio.to_thread.run_sync(
                    lambda: asyncio.run(self._prompts(post)), abandon_on_cancel=True
                )
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(thread)
            try:
                await ended.wait()
            finally:
                scope.deadline = trio.current_time() + QUIT_S
                self._leaving = True
                self._above.in_prompt(_leave)

    async def _prompts(self, post: Callable[[str], None]) -> None:
        """Prompt until the end of input."""
        welcome = f"{self.assistant} is here. Type a message and press Enter; Ctrl-C or Ctrl-D ends."
        self._above.write(sys.stdout, f"{welcome}\n")
        # Asking the terminal where its cursor is costs a second wherever that is not answered.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        session: PromptSession[str] = PromptSession(
            self._message,
            history=_History(self.history),
            validator=_OnlyUnicode(),
            validate_while_typing=False,
        )
        end = (EOFError, KeyboardInterrupt, OSError, termios.error)  # the last two: the terminal is gone
        # Raw also between two prompts, so that no key is lost there.
        with suppress(*end), session.input.raw_mode(), self._above.attached(asyncio.get_running_loop()):
            while not self._leaving:
                text = await session.prompt_async(pre_run=self._leave_early)
                if text.strip():
                    post(text)

    def _message(self) -> StyleAndTextTuples:
        prompt: StyleAndTextTuples = [("bold ansicyan", "> ")]
        if self._typing and not get_app().is_done:
            return [("italic", f"{self.assistant} is typing …\n"), *prompt]
        return prompt

    def _leave_early(self) -> None:
        if self._leaving:
            _leave()


def _leave() -> None:
    """End the prompt that is shown, as Ctrl-D does."""
    app = get_app_or_none()
    if app is not None and app.is_running and not app.is_done:
        app.exit(exception=EOFError)


def _redraw() -> None:
    app = get_app_or_none()
    if app is not None:
        app.invalidate()


# -- above the prompt ----------------------------------------------------------

Written = Callable[[OSError | None], None]


@define(eq=False)
class _Above:
    """Writes above the prompt while there is one: from any thread, in order, waiting for nobody."""

    _lock: threading.Lock = Factory(threading.Lock)
    _loop: asyncio.AbstractEventLoop | None = None
    _waiting: list[tuple[TextIO, str, Written]] = Factory(list)

    @contextmanager
    def attached(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """While prompts run on `loop`; called in its thread."""
        self._loop = loop
        try:
            yield
        finally:
            with self._lock:
                self._loop = None
            self._flush()

    def write(self, stream: TextIO, text: str, written: Written = lambda _: None) -> None:
        """Write `text`; `written` is called, in whatever thread, when the terminal has it or refuses."""
        with self._lock:
            self._waiting.append((stream, text, written))
            if self._loop is not None:
                if len(self._waiting) == 1:
                    self._loop.call_soon_threadsafe(self._flush_above)
                return
        self._flush()

    def in_prompt(self, call: Callable[[], None]) -> None:
        """Call something in the prompt's thread, if there is a prompt."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)

    def _flush_above(self) -> None:
        """In the prompt's thread: erase the prompt, write, and let it be drawn again below.

        prompt_toolkit's own way (`in_terminal`) leaves raw mode meanwhile, and a key that comes then is lost.
        """
        app = get_app_or_none()
        if app is None or not app.is_running:
            self._flush()
            return
        app.renderer.erase()
        self._flush()
        app.invalidate()

    def _flush(self) -> None:
        with self._lock:
            texts, self._waiting = self._waiting, []
        for stream, text, written in texts:
            written(_written(stream, text))


def _written(stream: TextIO, text: str) -> OSError | None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        return error
    return None


@frozen
class _LinesAbove:
    """Stands in for stderr, so that log lines come above the prompt."""

    above: _Above
    stream: TextIO
    begun: list[str] = Factory(list)

    def write(self, text: str) -> int:
        """Keep what is no whole line yet."""
        self.begun.append(text)
        if text.endswith("\n"):
            self.above.write(self.stream, "".join(self.begun))
            self.begun.clear()
        return len(text)

    def flush(self) -> None:
        """Whole lines are written at once."""

    def isatty(self) -> bool:
        """As what it stands in for."""
        return True


@contextmanager
def _taken_over(above: _Above) -> Iterator[None]:
    """Let stderr, where it is the terminal, go above the prompt."""
    stderr = sys.stderr
    if not stderr.isatty():
        yield
        return
    sys.stderr = cast("TextIO", _LinesAbove(above, stderr))
    try:
        yield
    finally:
        sys.stderr = stderr


@contextmanager
def _left_as_found(terminal: int) -> Iterator[None]:
    """Restore the terminal's modes, also where the prompt's thread could not."""
    modes = termios.tcgetattr(terminal)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSANOW, modes)


# -- what is typed -------------------------------------------------------------


class _History(FileHistory):
    """History in a file for its user's eyes; where it cannot be kept, it lasts as long as the program."""

    def store_string(self, string: str) -> None:
        """Append to the file, which is made for its user alone."""
        try:
            os.close(os.open(self.filename, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            super().store_string(string)
        except OSError as error:
            _log.warning("prompt.history_not_kept", file=str(self.filename), reason=str(error))

    def load_history_strings(self) -> Iterable[str]:
        """What was typed in earlier runs, newest first."""
        try:
            return list(super().load_history_strings())
        except OSError as error:
            _log.warning("prompt.history_not_read", file=str(self.filename), reason=str(error))
            return []


class _OnlyUnicode(Validator):
    """Refuses bytes that are no UTF-8; what was typed stays, to be mended."""

    def validate(self, document: Document) -> None:
        """Raises ValidationError, which the prompt shows."""
        for position, character in enumerate(document.text):
            if "\ud800" <= character <= "\udfff":
                raise ValidationError(
                    position, "The terminal sent a byte that is not UTF-8: set it to UTF-8, or remove it"
                )
