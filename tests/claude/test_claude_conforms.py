"""Claude Code passes the suite that every provider passes."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from attrs import define, evolve, field

from agent_runner.providers import ProviderContext, TurnHandler
from agent_runner.providers.claude import Claude
from nanoclaw.testing.conformance import ProviderUnderTest, lifecycle, provider_checks
from nanoclaw.testing.conformance.provider import CHECKS
from nanoclaw.testing.models import ModelAnswer, ModelCall, ModelFailure, ModelRequest
from tests.claude.world import ClaudeWorld

NAMES = [check.__name__ for check in (*CHECKS, *lifecycle.CHECKS)]
TOOL_QUESTION = "use your tool"


@define
class BehindAGateway:
    """Claude Code with a socket in its context, which the suite does not have."""

    socket: Path
    name: str = "claude"

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncGenerator[TurnHandler]:
        async with Claude().open(evolve(context, model_socket=self.socket)) as handler:
            yield handler


@define(eq=False)
class Behaviour:
    """A model that calls a tool when it is asked to, and can be down."""

    is_down: bool = False
    offered: set[str] = field(factory=set)

    def __call__(self, request: ModelRequest) -> ModelAnswer | ModelFailure:
        self.offered = {name.removeprefix("mcp__nanoclaw__") for name in request.tools}
        if self.is_down:
            return ModelFailure(500)
        last = str(request.messages[-2:])
        if TOOL_QUESTION in last and "tool_result" not in last:
            return ModelAnswer("", [ModelCall("mcp__nanoclaw__send_message", {"text": "hi"})])
        return ModelAnswer("hello")

    @contextmanager
    def down(self) -> Iterator[None]:
        self.is_down = True
        yield
        self.is_down = False


@pytest.mark.parametrize("name", NAMES)
async def test_claude_code_conforms(world: ClaudeWorld, name: str) -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        model = Behaviour()
        async with world.behind(model):
            yield ProviderUnderTest(
                BehindAGateway(world.root / "gateway.sock"),
                tool_question=TOOL_QUESTION,
                unable=model.down,
                turn_s=30.0,
                cancellations=2,
                offered=lambda: model.offered,
                model_settings={"provider": "claude", "name": "fake-model"},
            )

    [check] = [one for one in provider_checks(opens) if one.name == name]
    await check()
