"""Providers and tools with nurseries: their exception groups count as what is in them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trio
from attrs import define, evolve

from agent_runner.errors import ProviderClosedError, ProviderError, ProviderOpenError, ToolError
from agent_runner.foreign import foreign_code, ungrouped
from agent_runner.log import Log
from agent_runner.providers import ProviderContext, SimpleProvider, Tool, Toolbox, ToolSpec, TurnHandler
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from tests.runner.world import EPOCH, Killed, Script, World, at

LATER = EPOCH + timedelta(seconds=900)
Fails = Callable[[], Awaitable[object]]


def grouped(*errors: BaseException) -> Fails:
    """Return a function that raises these errors in tasks of a nursery in a nursery."""

    async def fails() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
            outer.start_soon(trio.sleep_forever)
            for error in errors:
                nursery.start_soon(raises, error)

    return fails


async def raises(error: BaseException) -> None:
    raise error


def limited() -> ProviderError:
    return ProviderError("429: too many requests", LATER)


async def acked(world: World, fails: Fails) -> tuple[object, ...]:
    """Return status, time of the next try and error of a message whose turn fails like that."""

    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        await fails()
        return Result()

    async with world.running(Script(act)):
        await world.until_acked(world.put(2), status="released")
    return world.out("SELECT status, retry_at, error FROM processing_ack")[0]


@pytest.mark.parametrize("errors", [1, 2], ids=["one task", "two tasks"])
async def test_a_providers_error_in_a_nursery_keeps_its_time_for_the_next_try(
    world: World, errors: int
) -> None:
    expected = ("released", at(900), "429: too many requests")
    assert await acked(world, grouped(*(limited() for _ in range(errors)))) == expected


async def test_other_errors_in_a_nursery_are_named_as_if_there_were_none(world: World) -> None:
    assert await acked(world, grouped(ValueError("odd"))) == ("released", at(30), "ValueError: odd")


@pytest.mark.parametrize("inside", [True, False], ids=["in a nursery", "alone"])
async def test_an_error_that_is_no_exception_releases_the_turn_too(world: World, *, inside: bool) -> None:
    async def alone() -> None:
        raise asyncio.CancelledError("of an SDK")

    fails = grouped(asyncio.CancelledError("of an SDK")) if inside else alone
    assert await acked(world, fails) == ("released", at(30), "CancelledError: of an SDK")


async def test_errors_of_several_kinds_are_all_named(world: World) -> None:
    status, _, reason = await acked(world, grouped(limited(), ValueError("odd")))
    assert status == "released"
    assert {str(reason)} <= {
        "ProviderError: 429: too many requests; ValueError: odd",
        "ValueError: odd; ProviderError: 429: too many requests",
    }


@pytest.mark.parametrize("errors", [[limited()], [limited(), ValueError("odd")]], ids=["one", "several"])
async def test_a_provider_that_fails_while_its_silent_turn_is_cancelled_releases_it(
    world: World, errors: list[Exception]
) -> None:
    async def fails() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                await grouped_at_once(*errors)

    assert (await acked(world, fails))[0] == "released"


async def grouped_at_once(*errors: Exception) -> None:
    raise ExceptionGroup("of a library", list(errors))


@define(eq=False)
class Opens(SimpleProvider):
    """A provider that fails in a nursery while it is opened, or closed."""

    opening: Fails | None = None
    closing: Fails | None = None
    name: str = "opens"

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        del context
        if self.opening:
            await self.opening()
        yield self
        if self.closing:
            await self.closing()

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        del tools
        return Result((Reply("yes", turn.messages[0].id),))


async def test_a_provider_that_cannot_be_opened_in_a_nursery_keeps_its_time(world: World) -> None:
    world.put(2)
    with pytest.raises(ProviderOpenError, match="cannot be opened: 429: too many requests") as failed:
        await run_runner(world.config, world.seams(Opens(opening=grouped(limited()))))
    assert failed.value.retry_at == LATER
    assert world.out("SELECT status, retry_at FROM processing_ack") == [("released", at(900))]


@define(eq=False)
class Breaks(Opens):
    """A provider whose background task fails while it is open."""

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        del context
        async with trio.open_nursery() as nursery:
            nursery.start_soon(grouped(ValueError("odd")))
            yield self


async def test_a_provider_that_cannot_be_opened_for_an_error_that_is_no_exception_is_named(
    world: World,
) -> None:
    with pytest.raises(ProviderOpenError, match="CancelledError: odd"), trio.fail_after(5):
        await run_runner(world.config, world.seams(Opens(opening=grouped(asyncio.CancelledError("odd")))))


async def test_a_provider_that_fails_in_a_nursery_while_it_is_open_is_named(world: World) -> None:
    with pytest.raises(ProviderClosedError, match="ValueError: odd"), trio.fail_after(5):
        await run_runner(world.config, world.seams(Breaks()))


async def test_a_provider_that_fails_in_a_nursery_while_it_closes_is_logged(world: World) -> None:
    def killed(*_: object) -> None:
        raise Killed

    lines: list[str] = []
    world.executor.on_commit = killed
    world.put(2)
    seams = evolve(world.seams(Opens(closing=grouped(ValueError("odd")))), log=Log(lines.append))
    with pytest.raises(Killed), trio.fail_after(5):
        await run_runner(world.config, seams)
    assert {"event": "provider.close_failed", "level": "error", "reason": "ValueError: odd"} in map(
        json.loads, lines
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ToolError("no such file"), "no such file"),
        (ValueError("odd"), "own failed: ValueError: odd"),
        (asyncio.CancelledError("odd"), "own failed: CancelledError: odd"),
    ],
    ids=["its own", "any", "no exception"],
)
async def test_a_tools_error_in_a_nursery_reaches_the_agent(
    world: World, error: BaseException, words: str
) -> None:
    fails = grouped(error)

    async def run(_arguments: Mapping[str, object]) -> str:
        await fails()
        return "done"

    class Uses(SimpleProvider):
        name = "uses"

        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            context.tools.add(Tool(ToolSpec("own", "A tool.", {"type": "object"}), run))
            yield self

        async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
            with pytest.raises(ToolError) as failed:
                await tools.call("own", {})
            return Result((Reply(str(failed.value), turn.messages[0].id),))

    async with world.running(Uses()):
        await world.until_acked(world.put(2))
    assert world.texts() == [words]


def test_a_group_with_a_request_to_exit_stays_a_group() -> None:
    with pytest.raises(BaseExceptionGroup), ungrouped(Exception):
        raise BaseExceptionGroup("both", [ValueError(), SystemExit()])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), BaseExceptionGroup("", [SystemExit()])]
)
def test_a_request_to_exit_passes_foreign_code(error: BaseException) -> None:
    with pytest.raises(type(error)), foreign_code(Exception):
        raise error
