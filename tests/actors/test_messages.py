import pytest
import trio
from attrs import frozen

from actors import Crash, Crashed, Current, Policy, Ref, Refused, Stopped, current, open_supervisor
from tests.actors.players import (
    PATIENT,
    Do,
    Fail,
    Log,
    Lose,
    No,
    Player,
    Say,
    Sleep,
    Store,
    Told,
    plays,
    with_background,
)


async def test_an_ask_returns_what_the_handler_returns() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        assert await ref.ask(Say("hello")) == "hello"


async def test_messages_are_handled_in_the_order_they_came_one_at_a_time() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        await ref.cast(Sleep(1))
        await ref.cast(Say("second"))
        assert await ref.ask(Say("third")) == "third"
    assert log == ["player in", "slept 1", "second", "third", "player out"]


async def test_an_ask_is_enqueued_before_it_first_yields() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays(log))
        nursery.start_soon(ref.ask, Say("asked"))
        nursery.start_soon(trio.lowlevel.checkpoint)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["player in", "asked"]


async def test_a_listener_receives_exactly_the_asks_and_casts_sent_to_its_address() -> None:
    heard: list[object] = []
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        tapped = ref.observed_by(heard.append)
        assert await tapped.ask(Say("asked")) == "asked"
        await tapped.cast(Say("cast"))
        tapped.signal(Say("signalled"))
        assert await ref.ask(Say("beside")) == "beside"
    assert heard == [Say("asked"), Say("cast")]
    assert {"asked", "cast", "signalled", "beside"} <= set(log)


async def test_a_cast_waits_only_while_the_mailbox_is_full() -> None:
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]), Policy(capacity=1))
        await ref.wait_started()
        await ref.cast(Sleep(1))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await ref.cast(Sleep(1))
        assert trio.current_time() == began
        await ref.cast(Sleep(1))
        assert trio.current_time() == began + 1


async def test_senders_waiting_for_room_are_admitted_in_order() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start("player", plays(log), Policy(capacity=1))
        for text in "abcdef":
            nursery.start_soon(ref.ask, Say(text))
            await trio.testing.wait_all_tasks_blocked()
    assert log == ["player in", *"abcdef", "player out"]


async def test_an_ask_cancelled_while_queued_is_still_handled() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        await ref.cast(Sleep(1))
        with trio.move_on_after(0.5) as scope:
            await ref.ask(Say("late"))
        assert scope.cancelled_caught
        await ref.ask(Say("after"))
    assert log == ["player in", "slept 1", "late", "after", "player out"]


async def test_an_ask_cancelled_in_flight_affects_no_other_message() -> None:
    told = Told()
    async with open_supervisor("test", observer=told) as supervisor:
        ref = supervisor.start("player", plays([]))
        with trio.move_on_after(0.5):
            await ref.ask(Sleep(1))
        assert await ref.ask(Say("fine")) == "fine"
    assert [type(event).__name__ for event in told] == ["Started", "Ended"]


@pytest.mark.parametrize("how", ["ask", "cast"])
async def test_a_message_cancelled_while_waiting_for_room_is_not_sent(how: str) -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log), Policy(capacity=1))
        await ref.cast(Sleep(1))
        await trio.testing.wait_all_tasks_blocked()
        await ref.cast(Say("fills"))
        with trio.move_on_after(0.5) as scope:
            await getattr(ref, how)(Say("never"))
        assert scope.cancelled_caught
        await ref.ask(Say("last"))
    assert "never" not in log
    assert "fills" in log


@pytest.mark.parametrize("how", ["ask", "cast"])
async def test_a_message_from_a_cancelled_scope_is_not_sent(how: str) -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        with trio.CancelScope() as scope:
            scope.cancel()
            await getattr(ref, how)(Say("never"))
        await ref.ask(Say("last"))
    assert log == ["player in", "last", "player out"]


async def test_an_actor_that_asks_itself_gets_an_error_immediately() -> None:
    async def ask_self(player: Player) -> None:
        with pytest.raises(RuntimeError, match="asked itself"):
            await player.context.ref.ask(Say("me"))

    async with open_supervisor("test") as supervisor:
        await supervisor.start("player", plays([])).ask(Do(ask_self))


async def test_an_actor_that_casts_to_its_own_full_mailbox_gets_an_error_immediately() -> None:
    async def cast_self(player: Player) -> None:
        await player.context.ref.cast(Say("fits"))
        with pytest.raises(RuntimeError, match="full"):
            await player.context.ref.cast(Say("does not"))

    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log), Policy(capacity=1))
        await ref.ask(Do(cast_self))
        await ref.ask(Say("last"))
    assert log == ["player in", "fits", "last", "player out"]


async def test_a_task_that_a_handler_started_may_ask_its_actor() -> None:
    answers: Log = []

    async def work(_context: object) -> None:
        async def ask() -> None:
            answers.append(await ref.ask(Say("from the background")))

        async def start(_player: Player) -> None:
            nursery.start_soon(ask)

        async with trio.open_nursery() as nursery:
            await ref.ask(Do(start))
            await trio.sleep_forever()

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", with_background([], work))
        await trio.testing.wait_all_tasks_blocked()
    assert answers == ["from the background"]


# -- refusals


async def test_a_refusal_reaches_the_asker_unchanged_and_is_not_a_crash() -> None:
    told, refusal = Told(), No("not today")
    async with open_supervisor("test", observer=told) as supervisor:
        ref = supervisor.start("player", plays([]))
        with pytest.raises(No) as caught:
            await ref.ask(Fail(refusal))
        assert caught.value is refusal
    assert [type(event).__name__ for event in told] == ["Started", "Ended"]


@pytest.mark.parametrize("how", ["cast", "signal"])
async def test_a_refused_cast_is_reported(how: str) -> None:
    told, refusal = Told(), No("not today")
    async with open_supervisor("test", observer=told) as supervisor:
        ref = supervisor.start("player", plays([]))
        sent = getattr(ref, how)(Fail(refusal))
        if sent is not None:
            await sent
        assert await ref.ask(Say("fine")) == "fine"
    assert told.of(Refused) == [Refused("player", "Fail", refusal)]


# -- signals


async def test_equal_pending_signals_are_merged_and_different_ones_are_not() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        for text in ("a", "b", "a", "a"):
            ref.signal(Say(text))
        await ref.ask(Say("asked"))
    assert log == ["player in", "a", "b", "asked", "player out"]


async def test_a_signal_sent_while_an_equal_one_is_handled_is_handled_again() -> None:
    @frozen
    class Slow:
        async def handle(self, actor: Player) -> None:
            actor.log.append("slow")
            await trio.sleep(1)

    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        ref.signal(Slow())
        await trio.sleep(0.5)
        ref.signal(Slow())
        ref.signal(Slow())
        await trio.sleep(5)
    assert log == ["player in", "slow", "slow", "player out"]


async def test_signals_overtake_queued_messages_but_never_starve_them() -> None:
    @frozen
    class Again:
        left: int

        async def handle(self, actor: Player) -> None:
            actor.log.append(f"again {self.left}")
            if self.left:
                actor.context.ref.signal(Again(self.left - 1))

    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        await ref.cast(Sleep(1))
        await ref.cast(Say("a"))
        await ref.cast(Say("b"))
        ref.signal(Again(2))
        await ref.ask(Say("c"))
    assert log[2:-1] == ["again 2", "a", "again 1", "b", "again 0", "c"]


async def test_an_actor_that_signals_itself_endlessly_lets_others_run_and_can_be_stopped() -> None:
    @frozen
    class Forever:
        async def handle(self, actor: Player) -> None:
            actor.context.ref.signal(self)

    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays([]))
        ref.signal(Forever())
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        await supervisor.stop("player")


async def test_a_signal_to_a_stopped_actor_is_dropped() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        await ref.wait_started()
        await supervisor.stop("player")
        ref.signal(Say("never"))
    assert log == ["player in", "player out"]


async def test_signals_pending_when_the_actor_is_stopped_are_dropped() -> None:
    log: Log = []
    told = Told()
    async with open_supervisor("test", observer=told) as supervisor:
        ref = supervisor.start("player", plays(log))
        ref.signal(Sleep(1))
        ref.signal(Say("never"))
        await trio.sleep(0.5)
        await supervisor.stop("player")
    assert log == ["player in", "slept 1", "player out"]
    assert not told.of(Crash)


# -- batches


async def ask_all(ref: Ref[Player], texts: list[str]) -> dict[str, str]:
    """Ask for every text. Return each reply, or the repr of its error."""
    replies: dict[str, str] = {}

    async def ask(text: str) -> None:
        try:
            replies[text] = await ref.ask(Store(text))
        except (Crashed, Stopped, No) as error:
            replies[text] = repr(error)

    async with trio.open_nursery() as nursery:
        await ref.cast(Sleep(1))
        for text in texts:
            nursery.start_soon(ask, text)
            await trio.testing.wait_all_tasks_blocked()
    return replies


async def test_queued_messages_of_one_class_are_handled_as_a_batch() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        assert await ask_all(ref, ["a", "b", "c"]) == {"a": "a", "b": "b", "c": "c"}
    assert log == ["player in", "slept 1", "a+b+c", "player out"]


async def test_a_batch_ends_at_another_class_and_at_the_batch_size() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log), Policy(batch=2))
        await ref.cast(Sleep(1))
        for text in "abc":
            await ref.cast(Store(text))
        await ref.cast(Say("other"))
        await ref.cast(Store("d"))
        await ref.ask(Store("e"))
    assert log == ["player in", "slept 1", "a+b", "c", "other", "d+e", "player out"]


async def test_a_batch_makes_room_for_waiting_senders() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log), Policy(capacity=2))
        assert len(await ask_all(ref, ["a", "b", "c", "d", "e"])) == 5
    assert log == ["player in", "slept 1", "a+b+c+d+e", "player out"]


async def test_in_a_batch_each_asker_gets_its_own_refusal() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        replies = await ask_all(ref, ["a", "refused 1", "b", "refused 2"])
    assert replies == {"a": "a", "refused 1": "No('refused 1')", "b": "b", "refused 2": "No('refused 2')"}
    assert log.count("player in") == 1


async def test_an_error_in_a_batch_is_a_crash_after_the_other_askers_are_answered() -> None:
    log: Log = []
    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays(log))
        replies = await ask_all(ref, ["a", "broken", "b", "broken too"])
        await ref.ask(Say("again"))
    assert replies == {"a": "a", "broken": "Crashed('player')", "b": "b", "broken too": "Crashed('player')"}
    assert log.count("player in") == 2


async def test_a_batch_with_too_few_answers_is_a_crash_and_no_asker_hangs() -> None:
    async with open_supervisor("test", policy=PATIENT) as supervisor:
        ref = supervisor.start("player", plays([]))
        with pytest.raises(Crashed):
            await ref.ask(Lose())


async def test_a_signal_is_handled_alone_even_if_its_class_supports_batches() -> None:
    log: Log = []
    async with open_supervisor("test") as supervisor:
        ref = supervisor.start("player", plays(log))
        ref.signal(Store("a"))
        ref.signal(Store("b"))
        await ref.ask(Say("asked"))
    assert log == ["player in", "one a", "one b", "asked", "player out"]


# -- what current tells


async def test_current_returns_the_message_in_handlers_and_in_tasks_they_start() -> None:
    seen: list[Current | None] = []

    async def look(_player: Player) -> None:
        seen.append(current())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note)

    async def note() -> None:
        seen.append(current())

    async with open_supervisor("test") as supervisor:
        await supervisor.start("player", plays([])).ask(Do(look))
    assert seen == [Current("player", "Do"), Current("player", "Do")]
    assert current() is None


async def test_current_returns_none_in_a_recipe_even_if_a_handler_started_the_actor() -> None:
    seen: list[Current | None] = []

    async def note() -> None:
        seen.append(current())

    async def start_another(_player: Player) -> None:
        supervisor.start("other", plays([], note, note))

    async with open_supervisor("test", policy=PATIENT) as supervisor:
        player = supervisor.start("player", plays([], note, note))
        await player.ask(Do(start_another))
        with pytest.raises(Crashed):
            await player.ask(Fail(ValueError()))
    assert seen
    assert set(seen) == {None}
