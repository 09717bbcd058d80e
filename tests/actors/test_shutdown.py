# ruff: noqa: PT012 -- what a scope raises, it raises whatever stands in it

import pytest
import trio

from actors import (
    Crash,
    Crashed,
    Ended,
    Event,
    GaveUp,
    Message,
    Recipe,
    Ref,
    Stopped,
    Supervisor,
    open_supervisor,
)
from actors._children import Order
from tests.actors.players import (
    PATIENT,
    Do,
    Fail,
    Log,
    Player,
    Say,
    Sleep,
    Told,
    burying,
    escalating,
    plays,
)

NAMES = ("first", "second", "third")


async def start_three(supervisor: Supervisor, log: Log) -> list[Ref[Player]]:
    refs = [supervisor.start(name, plays(log)) for name in NAMES]
    for ref in refs:
        await ref.wait_started()
    return refs


async def expect_stopped(ref: Ref[Player], message: Message[Player, object]) -> None:
    with pytest.raises(Stopped):
        await ref.ask(message)


async def test_actors_are_stopped_in_reverse_order_each_after_its_message_in_flight() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        refs = await start_three(supervisor, log)
        for seconds, ref in enumerate(refs, 1):
            await ref.cast(Sleep(seconds))
        await trio.testing.wait_all_tasks_blocked()
        await refs[2].cast(Say("queued"))
        log.clear()
    assert log == ["slept 1", "slept 2", "slept 3", "third out", "second out", "first out"]


async def test_an_actor_keeps_serving_until_its_turn_to_stop() -> None:
    log: Log = []

    async def ask_first() -> None:
        log.append(await first.ask(Say("last words")))

    async with open_supervisor("test") as supervisor:
        first = supervisor.start("first", plays([]))
        await supervisor.start("second", plays([], leave=ask_first)).wait_started()
    assert log == ["last words"]


async def test_actors_stopped_together_stop_at_the_same_time() -> None:
    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("outer"):
        async with open_supervisor("test", order="together") as supervisor:
            for name in NAMES:
                await supervisor.start(name, plays([], leave=slow)).wait_started()
            began = trio.current_time()
        assert trio.current_time() == began + 2


async def test_the_askers_of_queued_messages_get_stopped() -> None:
    async with trio.open_nursery() as nursery, open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        await ref.cast(Sleep(1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(expect_stopped, ref, Say("queued"))
        await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("order", ["reverse", "together"])
async def test_an_actor_still_running_at_the_deadline_is_cancelled(order: Order) -> None:
    log: Log = []
    async with trio.open_nursery() as nursery:
        async with open_supervisor("test", stop_within=3, order=order) as supervisor:
            refs = await start_three(supervisor, log)
            for ref in refs:
                nursery.start_soon(expect_stopped, ref, Sleep(60))
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
        assert trio.current_time() == began + 3
    assert sorted(log[3:]) == ["first out", "second out", "third out"]


async def test_the_deadline_applies_to_all_actors_together_not_to_each() -> None:
    clean: list[float] = []

    async def slow() -> None:
        await trio.sleep(2)
        clean.append(trio.current_time() - began)

    async with open_supervisor("test", stop_within=3) as supervisor:
        for name in NAMES:
            await supervisor.start(name, plays([], leave=slow)).wait_started()
        began = trio.current_time()
    assert trio.current_time() == began + 3
    assert clean == [2]


async def test_a_cleanup_that_resists_cancellation_does_not_delay_that_of_others() -> None:
    times: dict[str, float] = {}

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    async def stubbed() -> None:
        try:
            await trio.sleep(60)
        finally:
            times["first"] = trio.current_time() - began

    async with open_supervisor("test", stop_within=3) as supervisor:
        await supervisor.start("first", plays([], leave=stubbed)).wait_started()
        await supervisor.start("second", plays([], leave=stubborn)).wait_started()
        began = trio.current_time()
    assert times == {"first": 3}
    assert trio.current_time() == began + 10


async def test_a_cancelled_outer_scope_still_gets_an_ordered_shutdown() -> None:
    log: Log = []

    async def slow() -> None:
        await trio.sleep(1)

    with trio.move_on_after(5) as scope:
        async with open_supervisor("test") as supervisor:
            for name in NAMES:
                supervisor.start(name, plays(log, leave=slow))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert log[3:] == ["third out", "second out", "first out"]


async def fail() -> None:
    raise OSError("clean-up")


@pytest.mark.parametrize("how", ["end", "cancel", "error", "crash"])
async def test_a_failing_cleanup_never_reaches_a_sibling(how: str) -> None:
    """The scope is left in each way; clean-up and cancellation may meet in one group."""
    clean: Log = []
    told = Told()

    def cleans_up(name: str) -> Recipe[Player]:
        async def slowly() -> None:
            await trio.sleep(1)
            clean.append(name)

        return plays([], leave=slowly)

    async def live(surrounding: trio.CancelScope) -> None:
        async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
            await supervisor.start("first", cleans_up("first")).wait_started()
            await supervisor.start("second", plays([], leave=fail)).wait_started()
            await supervisor.start("third", cleans_up("third")).wait_started()
            await leave(supervisor, surrounding)

    async def leave(supervisor: Supervisor, surrounding: trio.CancelScope) -> None:
        if how == "cancel":
            surrounding.cancel()
        elif how == "error":
            raise KeyError
        elif how == "crash":
            supervisor.kill("second")
        await trio.lowlevel.checkpoint()

    async def nurse() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, nursery.cancel_scope)

    if how == "error":
        with pytest.RaisesGroup(KeyError):
            await nurse()
    else:
        await nurse()
    assert clean == ["third", "first"]
    assert all(event.actor == "second" for event in told.of(Crash))
    assert told.of(Crash)


async def test_a_cleanup_that_fails_when_cancelled_by_the_deadline_leaks_nothing() -> None:
    """A recipe that leaves with a Cancelled and an error in one group is the hardest case."""

    async def hang_in_a_nursery(_player: Player) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("while cancelled")

    log: Log = []
    told = Told()
    async with (
        trio.open_nursery() as nursery,
        open_supervisor("test", stop_within=1, observer=told) as supervisor,
    ):
        await supervisor.start("first", plays(log)).wait_started()
        second = supervisor.start("second", plays(log))
        nursery.start_soon(expect_crashed, second, Do(hang_in_a_nursery))
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(log[2:]) == ["first out", "second out"]
    assert [repr(event.cause) for event in told.of(Crash)] == ["OSError('while cancelled')"]


async def expect_crashed(ref: Ref[Player], message: Message[Player, object]) -> None:
    with pytest.raises(Crashed):
        await ref.ask(message)


# -- what the scope raises


async def test_the_bodys_exception_propagates_unchanged() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with open_supervisor("test") as supervisor:
            supervisor.start("player", plays([]))
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_the_bodys_exception_group_propagates_unchanged() -> None:
    group = ExceptionGroup("mine", [KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_supervisor("test"):
            raise group
    assert caught.value is group


async def test_cancellation_propagates_unchanged() -> None:
    with trio.CancelScope() as scope:  # noqa: SIM117 -- the inner one is what is looked at
        with pytest.raises(trio.Cancelled):
            async with open_supervisor("test", policy=PATIENT) as supervisor:
                supervisor.start("player", plays([]))
                scope.cancel()
                await trio.sleep_forever()


async def test_giving_up_during_cancellation_raises_one_error() -> None:
    with trio.CancelScope() as scope, pytest.raises(GaveUp):
        async with open_supervisor("test", policy=escalating()) as supervisor:
            supervisor.start("player", plays([], enter=fail))
            scope.cancel()
            await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.sleep_forever()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_handler_propagates_after_an_ordered_shutdown(
    kind: type[BaseException],
) -> None:
    log: Log = []

    async def interrupt(_player: Player) -> None:
        await trio.sleep(1)
        raise kind

    async with trio.open_nursery() as nursery:
        with pytest.raises(kind):
            async with open_supervisor("test", policy=burying()) as supervisor:
                await supervisor.start("first", plays(log)).wait_started()
                second = supervisor.start("second", plays(log))
                await second.wait_started()
                nursery.start_soon(expect_stopped, second, Do(interrupt))
                await trio.sleep(0.5)
                nursery.start_soon(expect_stopped, second, Say("queued"))
                await trio.sleep_forever()
    assert log == ["first in", "second in", "second out", "first out"]


async def test_an_observer_that_raises_ends_the_scope_and_no_asker_hangs() -> None:
    def broken(event: Event) -> None:
        if isinstance(event, Crash):
            raise ZeroDivisionError

    log: Log = []
    with pytest.raises(ZeroDivisionError):
        async with open_supervisor("test", observer=broken, policy=PATIENT) as supervisor:
            supervisor.start("first", plays(log))
            second = supervisor.start("second", plays(log))
            await expect_crashed(second, Fail(ValueError()))
            await expect_stopped(second, Say("queued"))
    assert log[-1] == "first out"


# -- stopping one


async def test_stop_waits_until_the_actor_has_ended_and_frees_its_name() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        await ref.cast(Sleep(1))
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.stop("player")
        assert log == ["player in", "slept 1", "player out"]
        assert supervisor.get("player") is None
        await expect_stopped(ref, Say("late"))
        assert await supervisor.start("player", plays(log)).ask(Say("new")) == "new"


async def test_stop_cancels_after_its_timeout() -> None:
    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([]))
        nursery.start_soon(expect_stopped, ref, Sleep(60))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await supervisor.stop("player", within=2)
        assert trio.current_time() == began + 2


async def test_a_cancelled_stop_still_stops_and_keeps_its_deadline() -> None:
    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([]))
        nursery.start_soon(expect_stopped, ref, Sleep(60))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with trio.move_on_after(1):
            await supervisor.stop("player", within=2)
        await ref.wait_stopped()
        assert trio.current_time() == began + 2


async def test_stopping_an_unknown_actor_or_one_in_back_off_takes_no_time() -> None:
    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([]))
        await expect_crashed(ref, Fail(ValueError()))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await supervisor.stop("unknown")
        await supervisor.stop("player")
        assert trio.current_time() == began
    assert told.of(Ended) == [Ended("player", "stopped")]


async def test_a_buried_actor_can_be_stopped() -> None:
    async with open_supervisor("test", policy=burying()) as supervisor:
        ref = supervisor.start("player", plays([]))
        await expect_crashed(ref, Fail(ValueError()))
        await ref.wait_stopped()
        await supervisor.stop("player")
        assert supervisor.tree().children == ()


async def test_an_actor_that_stops_itself_gets_an_error_instead_of_a_deadlock() -> None:
    async with open_supervisor("test") as supervisor:

        async def stop_self(_player: Player) -> None:
            with pytest.raises(RuntimeError, match="its own end"):
                await supervisor.stop("player")

        await supervisor.start("player", plays([])).ask(Do(stop_self))


async def test_no_actor_is_started_while_the_supervisor_shuts_down() -> None:
    async def start_another() -> None:
        with pytest.raises(Stopped, match="is stopping"):
            supervisor.start("another", plays([]))
        refused.append("another")

    refused: Log = []
    async with open_supervisor("test") as supervisor:
        await supervisor.start("player", plays([], leave=start_another)).wait_started()
    assert refused == ["another"]
