# ruff: noqa: PT012 -- what a scope raises, it raises whatever stands in it

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
import trio

from actors import (
    Buried,
    Context,
    Crash,
    Crashed,
    Ended,
    Exit,
    GaveUp,
    Killed,
    Message,
    Policy,
    Ref,
    Started,
    Stopped,
    open_supervisor,
)
from tests.actors.players import (
    PATIENT,
    Do,
    Fail,
    Log,
    Lose,
    Player,
    Say,
    Sleep,
    Store,
    Told,
    burying,
    escalating,
    plays,
    with_background,
)


async def crash(ref: Ref[Player], error: Exception | None = None) -> None:
    with pytest.raises(Crashed):
        await ref.ask(Fail(error or ValueError("crash")))


async def test_the_asker_of_the_message_in_flight_gets_crashed_with_the_cause() -> None:
    cause = ValueError("broken")
    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([]))
        with pytest.raises(Crashed) as caught:
            await ref.ask(Fail(cause))
    assert caught.value.__cause__ is cause
    assert caught.value.actor == "player"
    assert str(caught.value) == "actor 'player' crashed: ValueError('broken')"


async def test_the_asker_gets_the_error_before_the_teardown_is_done() -> None:
    async def slow() -> None:
        await trio.sleep(3)

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([], leave=slow))
        await ref.wait_started()
        began = trio.current_time()
        await crash(ref)
        assert trio.current_time() == began
        assert supervisor.tree().children[0].state == "leaving"


async def test_every_asker_of_a_crashing_batch_gets_the_error_before_the_teardown_is_done() -> None:
    async def slow() -> None:
        await trio.sleep(3)

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([], leave=slow))
        await ref.wait_started()
        began = trio.current_time()
        with pytest.raises(Crashed):
            await ref.ask(Lose())
        assert trio.current_time() == began


async def test_queued_messages_are_handled_by_the_next_incarnation() -> None:
    log: Log = []
    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays(log))
        await crash(ref)
        await ref.cast(Say("queued"))
        ref.signal(Say("signalled"))
        assert await ref.ask(Say("asked")) == "asked"
    assert log == [
        *("player in", "fail", "player out"),
        *("player in", "signalled", "queued", "asked", "player out"),
    ]


async def test_a_crash_loses_only_the_signal_in_flight() -> None:
    log: Log = []
    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays(log))
        for message in (Say("a"), Fail(ValueError()), Say("b")):
            ref.signal(message)
        await ref.ask(Say("asked"))
    assert [each for each in log if not each.startswith("player")] == ["a", "fail", "b", "asked"]


async def test_restarts_are_delayed_exactly_as_the_policy_says() -> None:
    times: list[float] = []

    async def note() -> None:
        times.append(trio.current_time())

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([], enter=note))
        for _ in range(3):
            await crash(ref)
        await ref.wait_started()
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.1, 0.2, 0.4])


async def test_the_observer_is_notified_of_starts_and_crashes() -> None:
    told, cause = Told(), ValueError()
    async with open_supervisor("test", observer=told, policy=burying(intensity=1)) as supervisor:
        ref = supervisor.start("player", plays([]))
        await crash(ref, cause)
        await crash(ref, cause)
    assert told[:5] == [
        Started("player", 0),
        Crash("player", cause, "Fail", 0.1),
        Started("player", 1),
        Crash("player", cause, "Fail", None),
        Buried("player", None, cause),
    ]


async def test_a_crash_during_start_counts_and_backs_off_like_any_other() -> None:
    attempts: Log = []

    async def fail_twice() -> None:
        attempts.append("start")
        if len(attempts) < 3:
            raise OSError("not yet")

    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([], enter=fail_twice))
        assert await ref.ask(Say("patient")) == "patient"
    assert [(event.message, event.will_restart_in) for event in told.of(Crash)] == [(None, 0.1), (None, 0.2)]


async def test_a_crash_of_a_background_task_crashes_an_idle_actor() -> None:
    cause = OSError("gone")

    async def work(_context: Context[Player]) -> None:
        await trio.sleep(1)
        raise cause

    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        supervisor.start("player", with_background([], work))
        await trio.sleep(1.05)
    assert told.of(Crash) == [Crash("player", cause, None, 0.1)]


async def test_a_crash_of_a_background_task_fails_the_message_in_flight() -> None:
    cause = OSError("gone")

    async def work(_context: Context[Player]) -> None:
        await trio.sleep(1)
        raise cause

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", with_background([], work))
        with pytest.raises(Crashed) as caught:
            await ref.ask(Sleep(5))
    assert caught.value.__cause__ is cause


async def test_a_crash_during_teardown_is_grouped_with_the_first_one() -> None:
    async def fail() -> None:
        raise OSError("clean-up")

    told, cause = Told(), ValueError("first")
    async with open_supervisor("test", observer=told, policy=burying()) as supervisor:
        ref = supervisor.start("player", plays([], leave=fail))
        await crash(ref, cause)
        await ref.wait_stopped()
    [reported] = told.of(Crash)
    assert repr(reported.cause) == "OSError('clean-up')"
    assert reported.cause.__context__ is cause


async def test_a_recipe_that_swallows_a_crash_still_counts_as_crashed() -> None:
    @asynccontextmanager
    async def swallowing(context: Context[Player]) -> AsyncIterator[Player]:
        with suppress(ValueError):
            yield Player(context, [])

    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        ref = supervisor.start("player", swallowing)
        await crash(ref)
        assert await ref.ask(Say("again")) == "again"
    assert "swallowed" in str(told.of(Crash)[0].cause)


# -- giving up


async def test_the_askers_of_a_buried_actor_get_stopped() -> None:
    errors: list[Stopped] = []

    async def ask(message: Message[Player, object]) -> None:
        with pytest.raises(Stopped) as caught:
            await ref.ask(message)
        errors.append(caught.value)

    async with open_supervisor("test", policy=burying()) as supervisor:
        ref = supervisor.start("player", plays([]), burying())
        async with trio.open_nursery() as nursery:
            await ref.cast(Fail(ValueError()))
            nursery.start_soon(ask, Say("queued"))
            nursery.start_soon(ask, Store("queued"))
        with pytest.raises(Stopped, match="buried"):
            await ref.ask(Say("later"))
        with pytest.raises(Stopped, match="buried"):
            await ref.cast(Say("later"))
        ref.signal(Say("dropped"))
    assert [error.reason for error in errors] == ["buried", "buried"]


async def test_senders_waiting_for_room_of_a_buried_actor_get_stopped() -> None:
    policy = burying()
    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([]), Policy(capacity=1, intensity=0, give_up=policy.give_up))

        async def expect_stopped(how: str) -> None:
            with pytest.raises(Stopped, match="buried"):
                await getattr(ref, how)(Say("waits"))

        await ref.cast(Do(fail_after_a_second))
        await trio.testing.wait_all_tasks_blocked()
        await ref.cast(Say("fills"))
        for how in ("ask", "cast", "ask", "cast"):
            nursery.start_soon(expect_stopped, how)


async def fail_after_a_second(_player: Player) -> None:
    await trio.sleep(1)
    raise ValueError


async def test_a_buried_actor_started_again_has_no_crashes_counted() -> None:
    told = Told()
    async with open_supervisor("test", observer=told, policy=burying(60, intensity=1)) as supervisor:
        ref = supervisor.start("player", plays([]))
        await crash(ref)
        await crash(ref)
        await ref.wait_stopped()
        buried_at = trio.current_time()
        await trio.sleep(60.01)
        assert await ref.ask(Say("back")) == "back"
        await crash(ref)
        assert await ref.ask(Say("back again")) == "back again"
        assert supervisor.get("player") is ref
    assert trio.current_time() == pytest.approx(buried_at + 60.01 + 0.1)
    assert [event.will_restart_in for event in told.of(Crash)] == [0.1, None, 0.1]


async def test_monitors_of_a_buried_actor_wait_again_once_it_is_restarted() -> None:
    async with open_supervisor("test", policy=burying(60)) as supervisor:
        ref = supervisor.start("player", plays([]))
        await crash(ref)
        await ref.wait_stopped()
        await trio.sleep(60.01)
        await ref.wait_started()
        with trio.move_on_after(60) as scope:
            await ref.wait_stopped()
        assert scope.cancelled_caught


async def test_burying_an_actor_does_not_affect_its_siblings() -> None:
    async with open_supervisor("test", policy=burying()) as supervisor:
        sibling = supervisor.start("sibling", plays([]))
        victim = supervisor.start("victim", plays([]))
        await crash(victim)
        await victim.wait_stopped()
        assert await sibling.ask(Say("fine")) == "fine"


async def test_an_actor_that_escalates_ends_the_scope_and_its_siblings_in_order() -> None:
    log: Log = []
    cause = ValueError("too much")
    with pytest.raises(GaveUp) as caught:
        async with open_supervisor("test", policy=escalating()) as supervisor:
            supervisor.start("first", plays(log))
            await supervisor.start("second", plays(log)).wait_started()
            await crash(supervisor.start("third", plays(log)), cause)
            await trio.sleep_forever()
    assert caught.value.actor == "third"
    assert caught.value.__cause__ is cause
    assert log[3:] == ["fail", "third out", "second out", "first out"]


async def test_gave_up_takes_precedence_over_a_consequent_error_of_the_body() -> None:
    with pytest.raises(GaveUp) as caught:
        async with open_supervisor("test", policy=escalating()) as supervisor:
            ref = supervisor.start("player", plays([]))
            try:
                await ref.cast(Fail(ValueError()))
                await trio.sleep_forever()
            finally:
                raise RuntimeError("in consequence")
    assert isinstance(caught.value.__context__, RuntimeError)


async def test_an_interrupt_takes_precedence_over_giving_up() -> None:
    with pytest.raises(KeyboardInterrupt):
        async with open_supervisor("test", policy=escalating()) as supervisor:
            ref = supervisor.start("player", plays([]))
            try:
                await ref.cast(Fail(ValueError()))
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt


async def test_the_bodys_own_error_takes_precedence_over_an_escalation_during_shutdown() -> None:
    async with open_supervisor("outer") as outer:
        with pytest.raises(KeyError):
            async with open_supervisor("test", under=outer, policy=escalating()) as supervisor:
                first = supervisor.start("first", plays([]))

                async def break_first() -> None:
                    await crash(first)

                supervisor.start("second", plays([], leave=break_first))
                await first.wait_started()
                raise KeyError


async def test_an_escalation_during_shutdown_is_not_lost() -> None:
    with pytest.raises(GaveUp):
        async with open_supervisor("test", policy=escalating()) as supervisor:
            first = supervisor.start("first", plays([]))

            async def break_first() -> None:
                await crash(first)

            await supervisor.start("second", plays([], leave=break_first)).wait_started()


async def test_a_fatal_crash_gives_up_at_once() -> None:
    with pytest.raises(GaveUp):
        async with open_supervisor("test") as supervisor:
            await crash(supervisor.start("player", plays([]), Policy(fatal=(KeyError,))), KeyError())
            await trio.sleep_forever()


async def test_a_crash_caused_by_another_actor_does_not_count_against_the_intensity() -> None:
    async with open_supervisor("test") as supervisor:
        below = supervisor.start("below", plays([]), PATIENT)
        above = supervisor.start("above", plays([]), burying())

        async def ask_below(_player: Player) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(below.ask, Fail(ValueError()))

        for _ in range(5):
            with pytest.raises(Crashed) as caught:
                await above.ask(Do(ask_below))
            assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert await above.ask(Say("still here")) == "still here"


# -- killing


async def test_a_killed_actor_counts_as_crashed_and_restarts() -> None:
    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([]))
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(Crashed) as caught:
                    await ref.ask(Sleep(5))
                assert isinstance(caught.value.__cause__, Killed)

            nursery.start_soon(ask)
            await trio.sleep(1)
            supervisor.kill("player")
        assert await ref.ask(Say("again")) == "again"
    assert [(event.message, event.will_restart_in) for event in told.of(Crash)] == [("Sleep", 0.1)]


async def test_a_killed_actor_whose_cleanup_fails_still_counts_as_killed() -> None:
    async def fail() -> None:
        raise OSError("clean-up")

    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        await supervisor.start("player", plays([], leave=fail)).wait_started()
        supervisor.kill("player")
        await trio.sleep(0.05)
        [event] = told.of(Crash)
    assert isinstance(event.cause, Killed)
    assert isinstance(event.cause.__cause__, OSError)


async def test_an_actor_killed_while_stopping_stops_immediately() -> None:
    told = Told()
    async with open_supervisor("test", observer=told) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([]))

        async def ask() -> None:
            with pytest.raises(Stopped):
                await ref.ask(Sleep(5))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(supervisor.stop, "player")
        await trio.sleep(1)
        supervisor.kill("player")
        await trio.testing.wait_all_tasks_blocked()
        assert supervisor.get("player") is None
    assert not told.of(Crash)
    assert told.of(Ended) == [Ended("player", "stopped")]


async def test_killing_between_incarnations_does_nothing_and_unknown_names_raise_key_error() -> None:
    told = Told()
    async with open_supervisor("test", observer=told, policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([]))
        await crash(ref)
        await trio.sleep(0.05)
        supervisor.kill("player")
        assert await ref.ask(Say("again")) == "again"
        with pytest.raises(KeyError):
            supervisor.kill("unknown")
    assert len(told.of(Crash)) == 1


# -- monitors


async def test_wait_started_waits_for_the_current_or_the_next_incarnation() -> None:
    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        began = trio.current_time()
        ref = supervisor.start("player", plays([], enter=slow))
        await ref.wait_started()
        assert trio.current_time() == began + 2
        await ref.wait_started()
        assert trio.current_time() == began + 2
        await crash(ref)
        await trio.testing.wait_all_tasks_blocked()
        await ref.wait_started()
        assert trio.current_time() == pytest.approx(began + 2 + 0.1 + 2)


async def test_wait_started_raises_the_cause_when_it_never_starts() -> None:
    async def fail() -> None:
        raise OSError("no")

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([], enter=fail), burying())
        for _ in range(2):
            with pytest.raises(Crashed) as caught:
                await ref.wait_started()
            assert isinstance(caught.value.__cause__, OSError)


async def test_wait_started_raises_stopped_when_it_is_stopped_first() -> None:
    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([], enter=slow))

        async def wait() -> None:
            with pytest.raises(Stopped):
                await ref.wait_started()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.stop("player")
        await wait()


async def test_wait_started_raises_stopped_when_a_running_actor_is_stopped() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        await ref.wait_started()
        await supervisor.stop("player")
        with pytest.raises(Stopped):
            await ref.wait_started()


async def test_monitors_receive_the_reason_and_the_last_cause() -> None:
    cause = ValueError()
    exits: list[Exit] = []
    async with open_supervisor("test", policy=PATIENT) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays([]))

        async def watch() -> None:
            exits.append(await ref.wait_stopped())

        nursery.start_soon(watch)
        nursery.start_soon(watch)
        await crash(ref, cause)
        await ref.wait_started()
        assert not exits
        await supervisor.stop("player")
    assert exits == [Exit("stopped", cause)] * 2


async def test_a_monitor_of_a_buried_actor_reports_the_burial() -> None:
    cause = ValueError()
    async with open_supervisor("test", policy=burying(60)) as supervisor:
        ref = supervisor.start("player", plays([]))
        await crash(ref, cause)
        assert await ref.wait_stopped() == Exit("buried", cause)
