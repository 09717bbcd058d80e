"""Properties: in any order of events, nothing is lost and nobody hangs."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import Literal

import trio
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from actors import (
    Backoff,
    Bury,
    Context,
    Crash,
    Crashed,
    Message,
    Policy,
    Ref,
    Stopped,
    Supervisor,
    open_supervisor,
)
from tests.actors.players import Fail, Log, Player, Retire, Say, Sleep, Store, Told, plays

FOREVER = 1e6
HANGS = FOREVER / 10


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run in virtual time. A test that hangs reaches the deadline at once, and fails."""

    async def guarded() -> None:
        with trio.fail_after(HANGS):
            await main()

    trio.run(guarded, clock=MockClock(autojump_threshold=0))


# -- restarts

ACTS = st.sampled_from(["ask", "cast", "fail", "sleep", "store", "kill", "wait"])


@define
class Outcomes:
    answered: Log = field(factory=list)
    crashed: Log = field(factory=list)
    cast: Log = field(factory=list)


@given(acts=st.lists(ACTS, max_size=30), capacity=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_restart_loses_only_the_message_in_flight(acts: list[str], capacity: int, seed: int) -> None:
    log: Log = []
    told = Told()
    outcomes = Outcomes()

    async def main() -> None:
        policy = Policy(capacity=capacity, batch=3, intensity=1000)
        async with open_supervisor("test", policy=policy, random=Random(seed), observer=told) as supervisor:
            ref = supervisor.start("player", plays(log))
            async with trio.open_nursery() as nursery:
                for number, act in enumerate(acts):
                    nursery.start_soon(perform, supervisor, ref, act, str(number), outcomes)
                    if act == "wait":
                        await trio.sleep(0.3)
            await ref.ask(Say("last"))

    run(main)
    handled = Counter(part for entry in log for part in entry.split("+"))
    for text in outcomes.answered + outcomes.cast:
        assert handled[text] == 1
    crashes = told.of(Crash)
    in_flight = [event for event in crashes if event.message is not None]
    if "store" not in acts:
        assert len(outcomes.crashed) == len(in_flight)
    asked = sum(act in {"ask", "fail", "sleep", "store"} for act in acts)
    assert len(outcomes.answered) + len(outcomes.crashed) == asked


async def perform(supervisor: Supervisor, ref: Ref[Player], act: str, text: str, outcomes: Outcomes) -> None:
    try:
        match act:
            case "ask":
                outcomes.answered.append(await ref.ask(Say(text)))
            case "store":
                outcomes.answered.append(await ref.ask(Store(text)))
            case "cast":
                await ref.cast(Say(text))
                outcomes.cast.append(text)
            case "fail":
                await ref.ask(Fail(ValueError(text)))
            case "sleep":
                seconds = 1 + int(text) / 100
                await ref.ask(Sleep(seconds))
                outcomes.answered.append(f"slept {seconds}")
            case "kill":
                await trio.sleep(0.1)
                supervisor.kill("player")
            case _:
                pass
    except Crashed:
        outcomes.crashed.append(text)


@given(texts=st.lists(st.booleans(), max_size=40), capacity=st.integers(1, 5))
def test_one_sender_s_casts_are_handled_in_order_across_crashes(texts: list[bool], capacity: int) -> None:
    log: Log = []

    async def main() -> None:
        policy = Policy(capacity=capacity, intensity=1000)
        async with open_supervisor("test", policy=policy) as supervisor:
            ref = supervisor.start("player", plays(log))
            for number, fails in enumerate(texts):
                await ref.cast(Fail(ValueError()) if fails else Say(str(number)))
            await ref.ask(Say("last"))

    run(main)
    said = [entry for entry in log if entry.isdigit()]
    assert said == [str(number) for number, fails in enumerate(texts) if not fails]


# -- progress


How = Literal["ask", "cast"]
HOWS: list[How] = ["ask", "cast"]
Below = Sequence[tuple[Ref["Station"], How]]


@define(eq=False)
class Station:
    """An actor that asks and casts only to the stations below it."""

    below: Below
    pause: float
    handled: int = 0


@frozen
class Pass:
    async def handle(self, actor: Station) -> int:
        for ref, how in actor.below:
            if how == "ask":
                await ref.ask(Pass())
            else:
                await ref.cast(Pass())
        await trio.sleep(actor.pause)
        actor.handled += 1
        return actor.handled


@given(
    edges=st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from(HOWS)), max_size=3),
        min_size=1,
        max_size=5,
    ),
    capacity=st.integers(1, 2),
    pauses=st.lists(st.sampled_from([0.0, 0.1, 1.0]), min_size=5, max_size=5),
    clients=st.integers(1, 12),
)
def test_actors_make_progress_even_if_every_mailbox_is_full(
    edges: list[list[tuple[int, How]]], capacity: int, pauses: list[float], clients: int
) -> None:
    """The n-th station knows some stations before it: a DAG. Each gets twice as many messages as fit."""
    replies: list[int] = []

    async def ask(ref: Ref[Station]) -> None:
        replies.append(await ref.ask(Pass()))

    async def main() -> None:
        refs: list[Ref[Station]] = []
        async with open_supervisor("test", policy=Policy(capacity=capacity)) as supervisor:
            for number, targets in enumerate(edges):
                below: Below = [(refs[to], how) for to, how in targets if to < number]
                refs.append(supervisor.start(f"s{number}", at(below, pauses[number])))
            async with trio.open_nursery() as nursery:
                for ref in refs:
                    for _ in range(clients):
                        nursery.start_soon(ask, ref)

    run(main)
    assert len(replies) == clients * len(edges)


def at(below: Below, pause: float) -> Callable[[Context[Station]], AbstractAsyncContextManager[Station]]:
    @asynccontextmanager
    async def recipe(_context: Context[Station]) -> AsyncIterator[Station]:
        yield Station(below, pause)

    return recipe


# -- chaos

MESSAGES: dict[str, Message[Player, object]] = {
    "ask": Say("said"),
    "fail": Fail(ValueError()),
    "sleep": Sleep(1),
    "store": Store("broken"),
    "retire": Retire(),
}

DEEDS = st.tuples(
    st.sampled_from(["ask", "fail", "sleep", "store", "signal", "kill", "stop", "start", "retire", "wait"]),
    st.integers(0, 2),
)


@given(
    deeds=st.lists(DEEDS, max_size=40),
    retry_after=st.sampled_from([None, 1.0]),
    stubborn=st.booleans(),
    order=st.sampled_from(["reverse", "together"]),
)
def test_in_any_order_of_events_every_ask_ends_and_every_recipe_is_exited(
    deeds: list[tuple[str, int]],
    retry_after: float | None,
    stubborn: bool,  # noqa: FBT001 -- hypothesis gives it
    order: Literal["reverse", "together"],
) -> None:
    """Every ask ends, every recipe that was entered is left, and no two actors of one name run at a time."""
    log: Log = []
    ended: list[str] = []

    async def leave() -> None:
        if stubborn:
            await trio.sleep(2)
            raise OSError("clean-up")

    async def do(supervisor: Supervisor, deed: str, name: str) -> None:
        with suppress(Crashed, Stopped):
            if deed == "start" and supervisor.get(name) is None:
                supervisor.start(name, plays(log, leave=leave))
            elif deed == "stop":
                await supervisor.stop(name, within=1)
            else:
                await reach(supervisor, deed, name)
        ended.append(deed)

    async def main() -> None:
        policy = Policy(capacity=1, intensity=1, backoff=Backoff(jitter=0), give_up=Bury(retry_after))
        async with (
            trio.open_nursery() as nursery,
            open_supervisor("test", policy=policy, stop_within=5, order=order) as supervisor,
        ):
            for deed, number in deeds:
                nursery.start_soon(do, supervisor, deed, f"p{number}")
                if deed == "wait":
                    await trio.sleep(0.7)

    run(main)
    assert len(ended) == len(deeds)
    check_turns(log)


async def reach(supervisor: Supervisor, deed: str, name: str) -> None:
    ref = supervisor.get(name)
    if ref is None:
        return
    if deed == "kill":
        supervisor.kill(name)
    elif deed == "signal":
        ref.signal(Say("signal"))
    elif deed in MESSAGES:
        await ref.ask(MESSAGES[deed])


def check_turns(log: Log) -> None:
    inside: set[str] = set()
    for entry in log:
        name, _, what = entry.partition(" ")
        if what == "in":
            assert name not in inside
            inside.add(name)
        elif what == "out":
            inside.remove(name)
    assert not inside
