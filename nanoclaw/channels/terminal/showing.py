"""Shows one message to those who attend the terminal's chat, and notes whether somebody has seen it."""

from collections.abc import Iterable
from math import inf
from typing import Protocol

import trio
from attrs import Factory, define, field, frozen


@frozen
class Display:
    """A message as text. `asks` says that it is a question, which is answered with a number."""

    text: str
    asks: bool = False


class Attendant(Protocol):
    """A front end or client that takes part in the terminal's chat."""

    async def show(self, display: Display, answers: str | None) -> None:
        """Show a message; return once it is shown. `answers` is the id of this attendant's line, or None.

        Raises:
            OSError: this attendant is gone, or could not show it.
        """
        ...

    def work(self) -> None:
        """Show that the agent is at work."""
        ...

    def draft(self, text: str) -> None:
        """Show the text so far of an answer in place of the last one. An empty text removes it."""
        ...

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line of this attendant. `failed` says why there will be no answer."""
        ...


@define(eq=False)
class Showing:
    """One message that is being shown. It is shown once the first attendant has shown it."""

    display: Display
    answers: str | None
    shown: bool = False
    awaited: bool = True
    """False once the delivery has given up. A later success must then be announced."""
    _asked: list[Attendant] = field(init=False, factory=list)
    """The attendants that are showing it."""
    _changed: trio.Event = field(init=False, default=Factory(trio.Event))

    def ask(self, attendants: Iterable[Attendant], nursery: trio.Nursery) -> None:
        """Have attendants show it, each in a task of its own, unless they are showing it already."""
        for attendant in attendants:
            if attendant not in self._asked:
                self._asked.append(attendant)
                nursery.start_soon(self._show, attendant)

    async def wait(self, within_s: float = inf) -> None:
        """Wait until it is shown, all attendants have failed to show it, or `within_s` seconds are over."""
        with trio.move_on_after(within_s):
            while self._asked and not self.shown:
                await self._changed.wait()

    @property
    def in_hand(self) -> bool:
        """True while an attendant is showing it."""
        return bool(self._asked)

    async def _show(self, attendant: Attendant) -> None:
        try:
            await attendant.show(self.display, self.answers)
            self.shown = True
        except OSError:
            pass
        finally:
            self._asked.remove(attendant)
            self._changed.set()
            self._changed = trio.Event()
