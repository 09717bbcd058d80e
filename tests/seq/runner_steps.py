"""Steps of a runner in a session: ours works in turns, a foreign one breaks the rules."""

import json
from collections.abc import Mapping
from contextlib import closing
from typing import cast

import apsw

from agent_runner.errors import ToolError
from agent_runner.records import Address, OutgoingRow
from agent_runner.tools import add_reaction, edit_message
from agent_runner.tools.base import BuiltinTool
from nanoclaw.records import Receipt
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session import deliveries
from nanoclaw.store.session.messages_in import PLAUSIBLE_LEAD
from tests.seq.host_steps import AGELESS, AGES_S, CHATS, host_looks
from tests.seq.model import FOREIGN
from tests.seq.play import Play

SCHEDULE = {"action": "schedule_task", "prompt": "x", "recurrence": "@daily"}
CHANGES = ("pause_task", "resume_task", "update_task", "cancel_task", "fly")


async def runner_begins_a_turn(play: Play) -> None:
    await play.read_floor()


async def runner_sends(play: Play) -> None:
    """Write final texts or a request in one transaction, above the numbers known when the turn began."""
    rows = [_row(play) for _ in range(play.random.randint(1, 3))]
    play.numbers.floor = floor = play.known
    done = await play.commit(play.runner, lambda: play.runner.send(rows, floor))
    play.numbers.check(out=[row.id for row in rows] if done else ())


def _row(play: Play) -> OutgoingRow:
    id_, where = play.new_id("out"), play.random.choice(CHATS)
    play.numbers.new(id_, where)
    content, kind = ({"text": "hello"}, "chat") if play.random.random() < 0.7 else (_request(play), "system")
    return OutgoingRow(id_, play.date.now(), Address(*where), content, "turn", kind=kind)


def _request(play: Play) -> Mapping[str, object]:
    tasks = [row.id for row in play.numbers.inbound.present.values() if row.id.startswith("task")]
    if not tasks or play.random.random() < 0.4:
        return SCHEDULE
    action, task = play.random.choice(CHANGES), play.random.choice(tasks)
    return {"action": action, "taskId": task, "recurrence": play.random.choice(["@hourly", "@weekly"])}


async def runner_edits(play: Play) -> None:
    await _act_on(play, edit_message.TOOL, {"text": "better"}, {"operation": "edit", "markdown": "better"})


async def runner_reacts(play: Play) -> None:
    await _act_on(play, add_reaction.TOOL, {"emoji": "+"}, {"operation": "reaction", "emoji": "+"})


async def _act_on(
    play: Play, tool: BuiltinTool, arguments: Mapping[str, object], content: Mapping[str, object]
) -> None:
    """Call a tool with some number. It must name the message of that number, or refuse."""
    known = [*play.numbers.known(), 1, 2]
    possible = [number for number in known if play.numbers.target(number)]
    number = play.random.choice(play.random.choice([possible, possible, known]) or known)
    target = play.numbers.target(number)
    refused = False

    async def call() -> None:
        nonlocal refused
        try:
            await tool.run(play.runner.context, {"message_id": number, **arguments})
        except ToolError:
            refused = True

    # A tool reads the floor by itself, at each call.
    play.numbers.floor = max(play.numbers.inbound.mark, play.numbers.seen)
    done = await play.commit(play.runner, call)
    assert not done or refused == (target is None), f"{number}: refused {refused}, its target {target}"
    new = _unknown(play)
    if target is not None and done:
        [(id_, *where, sent)] = new
        assert (tuple(where), json.loads(sent)) == (target[0], {**content, "messageId": target[1]})
        play.numbers.new(id_, target[0])
    play.numbers.check(out=[id_ for id_, *_ in new])


def _unknown(play: Play) -> list[tuple[str, str, str, str | None, str]]:
    """Return the rows that no step has reported."""
    with closing(apsw.Connection(str(play.runner.file), apsw.SQLITE_OPEN_READONLY)) as connection:
        rows = connection.execute(
            "SELECT id, channel_type, platform_id, thread_id, content FROM messages_out"
        )
        found = cast("list[tuple[str, str, str, str | None, str]]", rows.fetchall())
    return [row for row in found if row[0] not in play.numbers.messages]


async def runner_prunes(play: Play) -> None:
    """Prune everything old that the host no longer needs."""
    age_s = play.random.choice(AGES_S) or AGELESS
    await play.commit(play.runner, lambda: play.runner.prune(age_s))
    play.numbers.check(pruned=True)
    if (
        play.foreign
    ):  # no mark of ours is above its numbers: the turn after the pruning reads that of the host
        await play.read_floor()


async def runner_forgets(play: Play) -> None:
    """Deliver and prune everything, so that hardly any row shows the numbers that were assigned."""
    await host_looks(play)
    for entry in play.host.peek(deliveries.open_entries):
        known_as = f"sent-{entry.message_out_id}"
        await play.host.writer.run(
            deliveries.deliver, entry.message_out_id, Receipt(known_as), play.date.now()
        )
        play.numbers.outcomes[entry.message_out_id] = known_as
    play.date.pass_(1)
    await play.runner.prune(AGELESS)
    play.numbers.check(pruned=True)
    await _look_again_if_foreign(play)


async def _look_again_if_foreign(play: Play) -> None:
    """Prune a foreign runner's rows, which no mark of ours covers. The next turn knows them from the host."""
    if play.foreign:
        await play.read_floor()


async def runner_reopens(play: Play) -> None:
    await play.rise(play.runner)
    play.numbers.check()


# -- another's -----------------------------------------------------------------


async def foreign_runner_goes_on(play: Play) -> None:
    """Write odd, growing numbers without keeping a mark."""
    await _foreign(play, play.numbers.outbound.next_above(play.numbers.floor) + 2 * play.random.randrange(3))


async def foreign_runner_takes_even_numbers(play: Play) -> None:
    """Write even numbers, also ones that the host has assigned or will assign."""
    even = play.random.choice(
        [*play.numbers.inbound.given, play.numbers.inbound.next_above(play.numbers.seen)]
    )
    if even not in play.numbers.outbound.present:
        await _foreign(play, even)


async def foreign_runner_leaps(play: Play) -> None:
    """Write numbers that the host ignores as too large, up to the limit."""
    far = play.random.choice([PLAUSIBLE_LEAD - 1, PLAUSIBLE_LEAD, PLAUSIBLE_LEAD + 1, 1 << 24, 1 << 40])
    await _foreign(play, play.numbers.inbound.mark + far)


async def foreign_runner_writes_nonsense(play: Play) -> None:
    """Write values that are not numbers."""
    wrong = play.random.choice([None, 0, -7, 3.5, 1e300, "soon", (1 << 63) - 1])
    if wrong not in play.numbers.outbound.present:
        await _foreign(play, wrong)


async def _foreign(play: Play, seq: float | str | None) -> None:
    play.foreign = True
    id_ = play.new_id(FOREIGN + "row")
    play.numbers.new(id_, CHATS[0])
    with closing(apsw.Connection(str(play.runner.file))) as connection:
        connection.execute("PRAGMA synchronous = OFF").fetchall()
        connection.execute(
            """
            INSERT OR IGNORE INTO messages_out (id, seq, timestamp, kind, channel_type, platform_id, content)
            VALUES (?, ?, ?, 'chat', 'tg', 'chat-1', '{"text": "x"}')
            """,
            (id_, seq, to_text(play.date.now())),
        ).fetchall()
    await runner_reopens(play)
