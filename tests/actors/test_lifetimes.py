import pytest
import trio

from actors import Context, Exit, Policy, Retired, Stopped, Supervisor, open_supervisor
from tests.actors.players import Do, Fail, Log, Player, Retire, Say, Sleep, Told, plays, with_background


async def test_an_actor_with_nothing_left_to_do_retires() -> None:
    log: Log = []
    told = Told()
    async with open_supervisor("test", observer=told) as supervisor:
        ref = supervisor.start("player", plays(log))
        assert await ref.ask(Retire()) is True
        assert supervisor.get("player") is None
        assert await ref.wait_stopped() == Exit("retired", None)
        with pytest.raises(Stopped, match="retired"):
            await ref.ask(Say("late"))
        ref.signal(Say("dropped"))
    assert log == ["player in", "player out"]
    assert told.of(Retired) == [Retired("player")]


async def test_an_actor_with_a_queued_message_does_not_retire() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_refused, supervisor)
            await trio.testing.wait_all_tasks_blocked()
            await ref.cast(Say("work"))
        assert await ref.ask(Say("still here")) == "still here"


async def expect_refused(supervisor: Supervisor) -> None:
    ref = supervisor.get("player")
    assert ref is not None
    assert await ref.ask(Do(sleep_and_retire)) is False


async def sleep_and_retire(player: Player) -> bool:
    await trio.sleep(1)
    return player.context.retire()


async def test_an_actor_with_a_pending_signal_does_not_retire() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_refused, supervisor)
            await trio.testing.wait_all_tasks_blocked()
            ref.signal(Say("work"))


async def test_an_actor_with_a_sender_waiting_for_room_does_not_retire() -> None:
    async def retire_behind(player: Player) -> bool:
        await trio.sleep(1)
        return player.context.retire()

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]), Policy(capacity=1))
        async with trio.open_nursery() as nursery:
            await ref.cast(Do(retire_behind))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ref.ask, Say("a"))
            nursery.start_soon(ref.ask, Say("b"))
        assert await ref.ask(Say("still here")) == "still here"


async def test_a_background_task_may_retire_its_actor() -> None:
    async def work(context: Context[Player]) -> None:
        await trio.sleep(5)
        assert context.retire()

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", with_background([], work))
        assert await ref.wait_stopped() == Exit("retired", None)


async def test_the_message_in_flight_is_finished_before_the_actor_retires() -> None:
    async def work(context: Context[Player]) -> None:
        await trio.sleep(1)
        assert context.retire()

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", with_background([], work))
        assert await ref.ask(Sleep(5)) == "slept"
        assert await ref.wait_stopped() == Exit("retired", None)


async def test_the_context_of_an_earlier_incarnation_cannot_retire_the_actor() -> None:
    contexts: list[Context[Player]] = []

    async def keep(player: Player) -> None:
        contexts.append(player.context)
        raise ValueError

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        await ref.cast(Do(keep))
        await ref.ask(Say("restarted"))
        assert contexts[0].retire() is False
        assert await ref.ask(Say("still here")) == "still here"


async def test_an_actor_that_retires_and_then_crashes_stays_retired() -> None:
    cause = ValueError("too late")

    async def retire_and_crash(player: Player) -> None:
        assert player.context.retire()
        raise cause

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        await ref.cast(Do(retire_and_crash))
        assert await ref.wait_stopped() == Exit("retired", cause)


async def test_a_successor_starts_only_after_its_predecessor_has_ended() -> None:
    log: Log = []

    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("test") as supervisor:
        old = supervisor.start("player", plays(log, leave=slow))
        await old.ask(Retire())
        new = supervisor.start("player", plays(log))
        assert supervisor.get("player") is new
        assert len(supervisor.tree().children) == 2
        began = trio.current_time()
        assert await new.ask(Say("new")) == "new"
        assert trio.current_time() == began + 2
    assert log == ["player in", "player out", "player in", "new", "player out"]


async def test_stopping_a_name_stops_the_successor_and_waits_for_the_predecessor() -> None:
    log: Log = []

    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("test") as supervisor:
        await supervisor.start("player", plays(log, leave=slow)).ask(Retire())
        supervisor.start("player", plays(log))
        await supervisor.stop("player")
        assert log == ["player in", "player out"]
        assert supervisor.tree().children == ()


async def test_the_name_of_a_live_actor_cannot_be_reused() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        with pytest.raises(ValueError, match="'player'"):
            supervisor.start("player", plays([]))
        assert supervisor.get("player") is ref
        assert supervisor.get("unknown") is None


@pytest.mark.parametrize("ticks", range(12))
async def test_an_ask_while_an_actor_retires_reaches_it_or_starts_its_successor(ticks: int) -> None:
    """Look-up, start and enqueue are one step. Whenever the actor retires, nobody gets Stopped."""
    log: Log = []

    async def send(supervisor: Supervisor) -> None:
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        ref = supervisor.get("player") or supervisor.start("player", plays(log))
        assert await ref.ask(Say("sent")) == "sent"

    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays(log))
        await ref.wait_started()
        nursery.start_soon(ref.cast, Retire())
        nursery.start_soon(send, supervisor)
    assert log.count("sent") == 1
    assert log.count("player in") in {1, 2}


async def test_messages_sent_during_the_first_start_wait_for_it() -> None:
    async def slow() -> None:
        await trio.sleep(2)

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([], enter=slow))
        await ref.cast(Say("a"))
        assert await ref.ask(Say("b")) == "b"


async def test_a_reference_reports_whether_it_is_shut() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        assert not ref.shut
        await supervisor.stop("player")
        assert ref.shut


async def test_a_crashing_actor_can_be_replaced_after_it_was_stopped() -> None:
    async with open_supervisor("test") as supervisor:
        old = supervisor.start("player", plays([]))
        await old.cast(Fail(ValueError()))
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.stop("player")
        assert await supervisor.start("player", plays([])).ask(Say("new")) == "new"
