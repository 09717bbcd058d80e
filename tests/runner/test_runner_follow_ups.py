"""Follow-ups: a turn completes only those that its result consumed (contract 4, Status)."""

from collections.abc import Callable, Sequence
from contextlib import closing

import apsw
import trio
from attrs import define, field

from agent_runner.errors import ProviderError
from agent_runner.providers import SimpleProvider, Toolbox
from agent_runner.records import Inbound, Reply, Result, Turn
from tests.runner.world import Script, World, at

Outcome = Callable[[Turn, Sequence[Inbound]], Result]


@define(eq=False)
class Taker(SimpleProvider):
    """Takes follow-ups in the first ten seconds of its first turn, then ends the turn with an outcome."""

    outcome: Outcome
    seconds: float = 10
    turns: list[Turn] = field(factory=list)
    taken: list[Inbound] = field(factory=list)
    portions: list[int] = field(factory=list)
    name: str = "taker"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        self.turns.append(turn)
        if len(self.turns) > 1:
            return answer_all(turn, ())
        with trio.move_on_after(self.seconds):
            while True:
                rows = await tools.follow_ups()
                self.taken.extend(rows)
                self.portions.append(len(rows))
        return self.outcome(turn, self.taken)

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.taken]

    @property
    def heard(self) -> list[list[str]]:
        return [[row.id for row in turn.messages] for turn in self.turns]


@define(eq=False)
class SendingTaker(Taker):
    """Sends something for each follow-up."""

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        if self.turns:
            return await super().run(turn, tools)
        self.turns.append(turn)
        [row] = await tools.follow_ups()
        await tools.call("send_message", {"text": f"on {row.id}"})
        return self.outcome(turn, [row])


def answer_all(turn: Turn, rows: Sequence[Inbound]) -> Result:
    """Reply to each message."""
    return Result(tuple(Reply(f"re {row.id}", row.id) for row in (*turn.messages, *rows) if row.trigger))


def answer_first(turn: Turn, _rows: Sequence[Inbound]) -> Result:
    """Reply only to the turn's first messages."""
    return answer_all(turn, ())


def consume_all(turn: Turn, rows: Sequence[Inbound]) -> Result:
    """Give one reply, and name all follow-ups as consumed."""
    return Result((Reply("all", turn.messages[0].id),), consumed=tuple(row.id for row in rows))


def fail(_turn: Turn, _rows: Sequence[Inbound]) -> Result:
    raise ProviderError("quota")


async def test_a_message_that_comes_during_a_turn_is_taken_at_once_and_answered_by_it(world: World) -> None:
    provider = Taker(answer_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(3)
        second = world.put(4, platform_id="chat-7")
        await trio.sleep(0.1)
        assert provider.ids == [second]
        assert world.acks() == {first: "processing", second: "processing"}
        await world.until_acked(first, second)
        await trio.sleep(100)
    assert provider.heard == [[first]]
    sent = world.out("SELECT in_reply_to, platform_id FROM messages_out ORDER BY seq")
    assert sent == [(first, "chat-1"), (second, "chat-7")]


async def test_a_follow_up_is_of_the_turn_in_the_ack(world: World) -> None:
    provider = Taker(answer_all)
    world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        world.put(4)
        await trio.sleep(1)
        assert world.out("SELECT DISTINCT turn_id, attempt FROM processing_ack") == [
            (provider.turns[0].turn_id, 0)
        ]


async def test_a_follow_up_that_the_result_names_is_completed_without_a_reply(world: World) -> None:
    provider = Taker(consume_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await world.until_acked(first, second)
        await trio.sleep(100)
    assert provider.heard == [[first]]
    assert world.texts() == ["all"]


async def test_a_follow_up_that_the_result_did_not_consume_has_the_next_turn_at_no_try(world: World) -> None:
    provider = Taker(answer_first)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await world.until_acked(first, second)
    assert provider.heard == [[first], [second]]
    assert provider.turns[1].already_sent == ()
    assert world.out("SELECT DISTINCT attempt FROM processing_ack") == [(0,)]


async def test_acks_of_a_turn_and_its_follow_ups_change_together(world: World) -> None:
    seen: list[dict[object, object]] = []

    def look(_n: int, when: str) -> None:
        if when == "after":
            seen.append(world.acks())

    def half(turn: Turn, rows: Sequence[Inbound]) -> Result:
        return Result((Reply("x", turn.messages[0].id),), consumed=(rows[0].id,))

    world.executor.on_commit = look
    first = world.put(2)
    async with world.running(Taker(half)):
        await trio.sleep(1)
        second, third = world.put(4), world.put(6)
        await world.until_acked(first, second, third)
    assert {first: "processing", second: "processing", third: "processing"} in seen
    assert {first: "completed", second: "completed"} in seen
    assert {first: "completed", second: "processing"} not in [
        {id_: acks[id_] for id_ in (first, second) if id_ in acks} for acks in seen
    ]


async def test_a_provider_error_releases_the_turn_s_own_messages_and_gives_the_others_back(
    world: World,
) -> None:
    provider = Taker(fail)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await world.until(lambda: world.acks() == {first: "released"})
        await world.until_acked(second)
    assert provider.heard == [[first], [second]]
    assert provider.turns[1].already_sent == ()


async def test_the_next_turn_of_a_follow_up_is_told_of_rows_sent_before(
    world: World,
) -> None:
    provider = SendingTaker(fail)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await world.until_acked(second)
    assert provider.heard == [[first], [second]]
    assert [sent.content for sent in provider.turns[1].already_sent] == [{"markdown": f"on {second}"}]
    assert world.acks()[second] == "completed"


async def test_context_is_taken_and_known_as_context(world: World) -> None:
    provider = Taker(consume_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4, trigger=0)
        await world.until_acked(first, second)
    assert [(row.id, row.trigger) for row in provider.taken] == [(second, False)]


async def test_a_task_that_falls_due_during_a_turn_is_taken_when_it_does(world: World) -> None:
    provider = Taker(consume_all)
    first = world.put(2)
    due = world.put(4, kind="task", content='{"prompt":"x"}', process_after=at(5))
    async with world.running(provider):
        await trio.sleep(4.9)
        assert provider.ids == []
        await trio.sleep(0.2)
        assert provider.ids == [due]
        await world.until_acked(first, due)


async def test_rows_that_a_turn_may_not_take_wait(world: World) -> None:
    provider = Taker(answer_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        world.put(4, tries=1)
        world.put(6, on_wake=1)
        world.put(8, process_after=at(1000))
        world.put(10, status="paused", kind="task")
        await trio.sleep(8)
        assert provider.ids == []
        assert world.acks() == {first: "processing"}


async def test_a_turn_over_a_message_that_was_tried_before_gets_no_follow_ups(world: World) -> None:
    provider = Taker(answer_all)
    first = world.put(2, tries=1)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await world.until_acked(first, second)
    assert provider.heard == [[first], [second]]
    assert provider.ids == []


async def test_rows_of_an_interrupted_turn_are_no_follow_ups_and_get_a_repeated_turn(
    world: World,
) -> None:
    with world.outbound() as connection:
        connection.execute(
            "INSERT INTO processing_ack VALUES ('in-4', 'processing', '', 0, NULL, NULL, 'old')"
        )
    provider = Taker(answer_all)
    first = world.put(2)
    second = world.put(4, process_after=at(5))
    async with world.running(provider):
        await world.until_acked(first, second)
    assert provider.heard == [[first], [second]]


async def test_two_hundred_come_at_a_time(world: World) -> None:
    provider = Taker(consume_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        world.bell.broken = True
        for seq in range(4, 454, 2):
            world.put(seq)
        world.bell.broken = False
        world.bell.ring()
        await world.until_acked(first)
    assert provider.portions == [200, 25]
    assert provider.ids == [f"in-{seq}" for seq in range(4, 454, 2)]


async def test_context_that_found_no_room_is_no_follow_up(world: World) -> None:
    provider = Taker(consume_all)
    for seq in range(2, 502, 2):
        world.put(seq, trigger=0)
    first = world.put(502)
    async with world.running(provider):
        await world.until_acked(first, "in-2")
    assert provider.ids == []


async def test_two_concurrent_calls_share_the_follow_ups(world: World) -> None:
    taken: list[list[str]] = []

    async def act(turn: Turn, tools: Toolbox) -> Result:
        async def take() -> None:
            while True:
                taken.append([row.id for row in await tools.follow_ups()])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            nursery.start_soon(take)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        return consume_all(turn, ())

    provider = Script(act)
    world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4)
        await trio.sleep(5)
        assert taken == [[second]]


async def test_an_unreadable_follow_up_fails_and_affects_no_other(world: World) -> None:
    provider = Taker(consume_all)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        bad = world.put(4, content="{")
        await trio.sleep(1)
        good = world.put(6)
        await world.until_acked(first, good)
    assert provider.ids == [good]
    assert world.acks()[bad] == "failed"


async def test_a_host_that_cannot_be_read_for_a_while_does_not_end_the_turn(world: World) -> None:
    provider = Taker(consume_all, seconds=60)
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        with closing(apsw.Connection(str(world.config.inbound_db))) as host:
            host.execute("BEGIN EXCLUSIVE")
            world.bell.ring()
            await trio.sleep(8)
            host.execute("ROLLBACK")
        second = world.put(4)
        await world.until_acked(first, second)
    assert provider.heard == [[first]]
    assert provider.ids == [second]


async def test_an_answer_to_a_follow_up_that_has_nowhere_to_go_fails_it(world: World) -> None:
    provider = Taker(answer_all)
    world.host("DELETE FROM session_routing")
    first = world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
        second = world.put(4, channel_type=None, platform_id=None)
        await world.until_acked(first)
    assert world.acks() == {first: "completed", second: "failed"}


async def test_a_reply_s_number_is_above_that_of_the_follow_up_it_answers(world: World) -> None:
    world.put(2)
    async with world.running(Taker(answer_all)):
        await trio.sleep(1)
        await world.until_acked(world.put(40))
    assert world.out("SELECT seq FROM messages_out ORDER BY seq") == [(41,), (43,)]
