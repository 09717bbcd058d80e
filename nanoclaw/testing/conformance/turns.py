"""Turns and tools for the provider's suite, in the place of the runner."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import trio
from attrs import Factory, define

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox, ToolSpec
from agent_runner.records import Address, Inbound, Turn

CHAT = Address("test", "chat")
WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def message(n: int, text: str, *, trigger: bool = True) -> Inbound:
    """The n-th message of a chat."""
    content = {"id": str(n), "text": text, "sender": "Ann", "senderId": "test:ann"}
    return Inbound(f"in-{n}", 2 * n, "chat", CHAT, content, 0, WHEN, trigger)


def turn_of(*messages: Inbound) -> Turn:
    """A turn over messages."""
    return Turn(f"turn-{messages[0].id}", messages, assistant_name="Claw", agent_group_id="ag-1")


@define(eq=False)
class Tools(Toolbox):
    """Does what is called for, or refuses; has at most one follow-up."""

    follow: Inbound | None = None
    refuses: bool = False
    calls: list[tuple[str, Mapping[str, object]]] = Factory(list)
    taken: list[Inbound] = Factory(list)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """One tool."""
        text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        return [ToolSpec("send_message", "Send a message before the turn is over.", text)]

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Note the call."""
        await trio.lowlevel.checkpoint()
        self.calls.append((name, arguments))
        if self.refuses:
            raise ToolError("that is not possible now")
        return f"sent as message {2 * len(self.calls) + 1}"

    async def follow_ups(self) -> Sequence[Inbound]:
        """Give the follow-up, once; wait for ever, where there is none."""
        await trio.lowlevel.checkpoint()
        if self.follow is None or self.taken:
            await trio.sleep_forever()
        else:
            self.taken.append(self.follow)
        return tuple(self.taken)

    def alive(self) -> None:
        """Nobody watches."""


class CancelAfter(trio.abc.Instrument):
    """While it is open: cancels a scope after so many steps of trio's tasks."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope, self._left = scope, steps

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        trio.lowlevel.remove_instrument(self)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """One step less."""
        del task
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()
