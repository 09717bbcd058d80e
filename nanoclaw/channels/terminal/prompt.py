"""The terminal's front end for a person: a prompt with history, and replies above it.

prompt_toolkit runs on asyncio, so it has a thread of its own. No other module uses asyncio. The host never
waits for that thread without a limit, so a stopped terminal (Ctrl-S) does not block it.
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

from nanoclaw.channels.terminal.desk import NotConfirmed, Speaker
from nanoclaw.channels.terminal.drafting import Draft
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.records import NotAccepted

QUIT_S = 1.0
"""Seconds after which a prompt that does not end is abandoned."""
BOLD, RED, PLAIN = "\x1b[1;36m", "\x1b[1;31m", "\x1b[0m"

_log = structlog.get_logger()


@define(eq=False)
class Prompt:
    """A prompt on the terminal. `history` is the file with earlier input."""

    assistant: str
    history: Path
    greeting: str = ""
    """The first lines. Messages are shown after them."""
    _greeted: trio.Event = Factory(trio.Event)
    _above: "_Above" = Factory(lambda: _Above())  # noqa: PLW0108 -- it is defined below
    _draft: Draft = Factory(Draft)
    """The text so far of an answer. It is replaced in trio's thread, and drawn in the prompt's."""
    _redraws: bool = False
    """True while the prompt's thread has been asked to draw the draft: it may be stopped by Ctrl-S."""
    _typing: bool = False
    _leaving: bool = False

    async def read(self, speaker: Speaker) -> None:
        """Pass on each typed message, stored in order. Return at Ctrl-C, Ctrl-D or a hang-up."""
        said, lines = trio.open_memory_channel[str](100_000)
        with _modes_restored(sys.stdin.fileno()), _stderr_above(self._above):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._say, speaker, lines)
                async with said:
                    await self._converse(said.send_nowait)

    async def show(self, text: str) -> None:
        """Show a reply in place of the draft. Raise OSError if the terminal is gone."""
        await self._greeted.wait()
        self._draft = Draft()
        await self._print(f"{BOLD}{self.assistant}{PLAIN}  {harmless(text)}\n")

    async def note(self, text: str) -> None:
        """Show a remark about the connection or a message."""
        await self._print(f"{RED}{text}{PLAIN}\n")

    def typing(self, *, on: bool) -> None:
        """Show that the agent is at work, or no longer."""
        if self._typing != on:
            self._typing = on
            self._above.in_prompt(_redraw)

    def draft(self, text: str) -> None:
        """Show the text so far of an answer between the last message and the prompt."""
        if self._draft.text != text:
            self._draft = Draft(text)
            if not self._redraws:
                self._redraws = True
                if not self._above.in_prompt(self._draw_draft):
                    self._redraws = False

    async def _say(self, speaker: Speaker, lines: trio.MemoryReceiveChannel[str]) -> None:
        async for line in lines:
            try:
                routed = await speaker.say(line)
                problem = routed.dropped and f"no agent will answer this: {routed.dropped}"
            except NotConfirmed as error:
                problem = f"sent, not confirmed: {error}"
            except NotAccepted as error:
                problem = f"not sent: {error}; fix this, then press arrow-up to get your message back"
            if problem:
                await self.note(problem)

    async def _print(self, text: str) -> None:
        """Write a text, and return when the terminal has it."""
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
        """Run the prompt's thread. A cancellation ends the prompt first."""
        ended, scope = trio.Event(), trio.CancelScope(shield=True)
        token = trio.lowlevel.current_trio_token()

        def post(text: str) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(say, text)

        def greeted() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._greeted.set)

        async def thread() -> None:
            with scope:
                await trio.to_thread.run_sync(
                    lambda: asyncio.run(self._prompts(post, greeted)), abandon_on_cancel=True
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

    async def _prompts(self, post: Callable[[str], None], greeted: Callable[[], None]) -> None:
        """Greet, and prompt until the end of input."""
        self._above.write(sys.stdout, f"{harmless(self.greeting)}\n")
        greeted()
        # Some terminals do not answer the query for the cursor's position. It would cost a second.
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
        if get_app().is_done:
            return prompt
        if self._draft.text:
            return [*self._draft.drawn(self.assistant, get_app().output.get_size()), *prompt]
        if self._typing:
            return [("italic", f"{self.assistant} is typing …\n"), *prompt]
        return prompt

    def _draw_draft(self) -> None:
        """Draw the prompt with the newest draft. Without one, erase it first, or it keeps its height."""
        self._redraws = False
        app = get_app_or_none()
        if app is not None and app.is_running:
            if not self._draft.text:
                app.renderer.erase()
            app.invalidate()

    def _leave_early(self) -> None:
        if self._leaving:
            _leave()


def _leave() -> None:
    """End the current prompt, like Ctrl-D."""
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
    """Writes above the prompt while there is one: from any thread, in order, without waiting."""

    _lock: threading.Lock = Factory(threading.Lock)
    _loop: asyncio.AbstractEventLoop | None = None
    _waiting: list[tuple[TextIO, str, Written]] = Factory(list)

    @contextmanager
    def attached(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Write above the prompts on `loop` while the context is open. Call it in the loop's thread."""
        self._loop = loop
        try:
            yield
        finally:
            with self._lock:
                self._loop = None
            self._flush()

    def write(self, stream: TextIO, text: str, written: Written = lambda _: None) -> None:
        """Write `text`. `written` is called in any thread when the write has ended or failed."""
        with self._lock:
            self._waiting.append((stream, text, written))
            if self._loop is not None:
                if len(self._waiting) == 1:
                    self._loop.call_soon_threadsafe(self._flush_above)
                return
        self._flush()

    def in_prompt(self, call: Callable[[], None]) -> bool:
        """Call a function in the prompt's thread, if there is a prompt. Return True if there is."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)
            return self._loop is not None

    def _flush_above(self) -> None:
        """Erase the prompt, write, and have the prompt drawn again below. It runs in the prompt's thread.

        prompt_toolkit's `in_terminal` leaves raw mode meanwhile, and would lose keys.
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
    """Replaces stderr, so that log lines appear above the prompt."""

    above: _Above
    stream: TextIO
    begun: list[str] = Factory(list)

    def write(self, text: str) -> int:
        """Write whole lines. Keep the rest until its line ends."""
        self.begun.append(text)
        if text.endswith("\n"):
            self.above.write(self.stream, "".join(self.begun))
            self.begun.clear()
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines are written at once."""

    def isatty(self) -> bool:
        """Return True, like the terminal that it replaces."""
        return True


@contextmanager
def _stderr_above(above: _Above) -> Iterator[None]:
    """Write stderr above the prompt while the context is open, if stderr is the terminal."""
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
def _modes_restored(terminal: int) -> Iterator[None]:
    """Restore the terminal's modes, even if the prompt's thread could not."""
    modes = termios.tcgetattr(terminal)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSANOW, modes)


# -- input -------------------------------------------------------------


class _History(FileHistory):
    """History in a private file. If the file cannot be written, it lasts as long as the program."""

    def store_string(self, string: str) -> None:
        """Append to the file. It is created with access for its user only."""
        try:
            os.close(os.open(self.filename, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            super().store_string(string)
        except OSError as error:
            _log.warning("prompt.history_not_kept", file=str(self.filename), reason=str(error))

    def load_history_strings(self) -> Iterable[str]:
        """Return the input of earlier runs, newest first."""
        try:
            return list(super().load_history_strings())
        except OSError as error:
            _log.warning("prompt.history_not_read", file=str(self.filename), reason=str(error))
            return []


class _OnlyUnicode(Validator):
    """Refuses bytes that are not UTF-8. The input stays, so that it can be corrected."""

    def validate(self, document: Document) -> None:
        """Check the input. Raise ValidationError, which the prompt shows."""
        for position, character in enumerate(document.text):
            if "\ud800" <= character <= "\udfff":
                raise ValidationError(
                    position, "The terminal sent a byte that is not UTF-8: set it to UTF-8, or remove it"
                )
