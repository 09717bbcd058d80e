"""Providers that each treat their model or the conversation wrongly, and the check that finds each."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import trio
from attrs import define, field

from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.providers import ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn
from nanoclaw.testing.conformance import ProviderUnderTest
from nanoclaw.testing.conformance.turns import WHEN

PLAIN = "The server refuses the key. Owner: check it."


@define(eq=False)
class Minded:
    """A provider with a conversation, whose server can fail. `fault` names what it does wrong."""

    fault: str = ""
    name: str = "minded"
    refuses: bool = False
    busy_s: float = 0.0
    told: str = ""
    """What the model was told last."""
    _context: ProviderContext = field(init=False)

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        self._context = context
        yield self

    async def run(self, turn: Turn, _tools: Toolbox, /) -> Result:
        before = await self._before()
        told = [*before, *(str(message.content.get("text", "")) for message in turn.messages)]
        self.told = "\n".join(told[-1:] if self.fault == "forgets" else told)
        if self.fault == "stores too early":
            await self._context.state.set("talk", json.dumps(told))
        self._fail()
        return Result((Reply("yes", turn.messages[-1].id),), state={"talk": json.dumps(told)})

    async def _before(self) -> list[str]:
        try:
            value = json.loads(await self._context.state.get("talk") or "[]")
        except ValueError:
            return []
        return [str(each) for each in value] if isinstance(value, list) else []

    def _fail(self) -> None:
        if self.refuses:
            text = '{"error": "key"}' if self.fault == "shows JSON" else PLAIN
            raise ProviderError("no") if self.fault == "hides it" else ProviderFatal("401", for_user=text)
        if self.busy_s:
            wait = 1 if self.fault == "hurries" else self.busy_s
            raise ProviderError("busy", WHEN + timedelta(seconds=wait))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.refuses = True
        yield
        self.refuses = False

    @contextmanager
    def busy(self, seconds: float) -> Iterator[None]:
        self.busy_s = seconds
        yield
        self.busy_s = 0.0


MODEL_FAULTS = [
    ("a_refused_key_is_told_in_plain_words", "hides it"),
    ("a_refused_key_is_told_in_plain_words", "shows JSON"),
    ("a_busy_server_is_tried_again_when_it_says", "hurries"),
    ("the_model_is_told_the_conversation", "forgets"),
    ("what_failed_is_not_part_of_the_conversation", "stores too early"),
]


@asynccontextmanager
async def minded(fault: str = "") -> AsyncIterator[ProviderUnderTest]:
    """Open a provider with this fault; without one, it is correct."""
    await trio.lowlevel.checkpoint()
    made = Minded(fault)
    yield ProviderUnderTest(made, refused=made.refusing, busy=made.busy, heard=lambda: made.told)
