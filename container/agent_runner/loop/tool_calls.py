"""Runs the tools that an answer of the model calls."""

from collections.abc import Iterator, Sequence

import trio
from attrs import define, field

from agent_runner.errors import ToolError
from agent_runner.loop.conversation import Returned, ToolCall, ToolResult, cut_middle
from agent_runner.providers.repeats import Repeats
from agent_runner.providers.toolbox import Toolbox
from agent_runner.records import Address, Sent, Turn

LONGEST_RESULT = 100_000
"""Characters of a result that the model is given."""
MOST_CALLS = 32
"""Calls of one answer that are run. The others are refused."""
IN_ORDER = {
    *("send_message", "send_file", "send_card", "edit_message", "add_reaction"),
    *("bash", "write_file", "edit_file"),
}
"""Tools whose calls run one after the other: people see their order, or one needs what another has done."""


@define(eq=False)
class ToolRun:
    """Runs calls of one turn. A call that an interrupted turn has done already is not done again."""

    _tools: Toolbox
    _turn: Turn
    _left: list[Sent]
    """What an interrupted turn did, and no call has repeated yet."""
    results: dict[int, ToolResult] = field(factory=dict, init=False)

    async def run(self, calls: Sequence[ToolCall]) -> Returned:
        """Run the calls at the same time, and return their results in the order of the calls.

        An error of a tool is a result for the model, and does not stop the other calls.
        """
        self.results = {}
        ordered = [(n, call) for n, call in enumerate(calls) if call.name in IN_ORDER]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._one_by_one, ordered)
            for n, call in enumerate(calls):
                if call.name not in IN_ORDER:
                    nursery.start_soon(self._one, n, call)
        return Returned(tuple(self.results[n] for n in range(len(calls))))

    async def _one_by_one(self, calls: Sequence[tuple[int, ToolCall]]) -> None:
        for n, call in calls:
            await self._one(n, call)

    async def _one(self, n: int, call: ToolCall) -> None:
        try:
            text, is_error = await self._called(n, call), False
        except ToolError as error:
            text, is_error = str(error), True
        self.results[n] = ToolResult(call.id, cut_middle(text or "(no result)", LONGEST_RESULT), is_error)

    async def _called(self, n: int, call: ToolCall) -> str:
        if n >= MOST_CALLS:
            raise ToolError(f"too many calls in one answer; the most is {MOST_CALLS}. Call it again.")
        if call.problem:
            raise ToolError(call.problem)
        if done := self._done(call):
            return f"This was done before the turn was interrupted, as message {done.seq}."
        return await self._tools.call(call.name, call.arguments)

    def _done(self, call: ToolCall) -> Sent | None:
        """Take and return what this call would do again; None if there is none."""
        for some in self._candidates(call.arguments.get("to")):
            done = Repeats(some).find(call.name, call.arguments)
            if done is not None:
                self._left.remove(done)
                return done
        return None

    def _candidates(self, to: object) -> Iterator[list[Sent]]:
        """Yield what may be what a call for `to` has done, the likelier first.

        A message that is tried again has a turn alone. If the interrupted turn had messages of several chats,
        its home may have been another one, so a call without `to` may have gone anywhere.
        """
        addresses = [self._turn.home] if to is None else list(_addresses(self._turn, to))
        yield [sent for sent in self._left if sent.address is None or sent.address in addresses]
        if to is None:
            yield list(self._left)


def _addresses(turn: Turn, to: object) -> Iterator[Address]:
    """Yield the addresses that a name of a destination may stand for."""
    for destination in turn.destinations:
        if destination.name == to:
            yield destination.address
            home = turn.home
            chat = (destination.address.channel_type, destination.address.platform_id)
            if home is not None and chat == (home.channel_type, home.platform_id):
                yield home  # which has the thread
