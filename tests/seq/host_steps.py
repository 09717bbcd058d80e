"""What the host does in a session, a commit or two each."""

import json
from datetime import timedelta

import apsw

from nanoclaw.records import Address, Receipt
from nanoclaw.session import transactions
from nanoclaw.session.finishing import Finished, finish
from nanoclaw.session.messages import Completed, Failed, Retry, Verdict
from nanoclaw.session.outcomes import Delivered, Later, Result, Undeliverable, Unknown
from nanoclaw.session.queue import Delivery
from nanoclaw.session.transactions import Settlement
from nanoclaw.store import deliveries, messages_in, tasks
from nanoclaw.store.deliveries import LedgerEntry
from nanoclaw.store.messages_in import PLAUSIBLE_LEAD, NewMessage, OpenMessage
from nanoclaw.store.outbound import BATCH, MessageOut
from nanoclaw.store.tasks import NewTask
from tests.seq.model import Where
from tests.seq.play import Play

CHATS: tuple[Where, ...] = (("tg", "chat-1", None), ("tg", "chat-1", "thread"), ("cli", "chat-2", None))
AGES_S = (0.0, 3600.0, 86_400.0)
AGELESS = 1e-3
"""As short as an age can be configured: 0 stands for ever."""


class Refused(Exception):
    """What a bad event raises in the transaction of others: it is rolled back alone."""


async def host_hears(play: Play) -> None:
    """Messages that came together are one transaction; one may be there already, one may be refused."""
    messages = [_message(play) for _ in range(play.random.randint(1, 3))]
    bad = play.random.choice([None, None, messages[0].id])

    def store(connection: apsw.Connection, message: NewMessage) -> OpenMessage | None:
        stored = transactions.store(connection, message)
        if message.id == bad:
            raise Refused
        return stored

    new = {m.id for m in messages if m.id != bad and not play.numbers.is_stored(m.id)}
    done = await play.commit(play.host, lambda: play.host.writer.run_each(store, messages))
    play.numbers.check(into=new if done else ())


def _message(play: Play) -> NewMessage:
    stored = [row.id for row in play.numbers.inbound.present.values() if row.id.startswith("in-")]
    if stored and play.random.random() < 0.2:
        id_ = play.random.choice(stored)
    else:
        id_ = play.new_id("in")
        _describe(play, id_)
    row = play.numbers.messages[id_]
    content = {"text": "hi", **({} if row.known_as is None else {"id": row.known_as})}
    where = Address(*row.where) if row.where else None
    return NewMessage(
        id_, "chat", play.date.now(), where, json.dumps(content), trigger=play.random.random() < 0.8
    )


def _describe(play: Play, id_: str) -> None:
    known_as = play.random.choice([f"p-{id_}"] * 4 + [None])
    play.numbers.new(id_, play.random.choice([*CHATS, None]), known_as)


async def host_schedules(play: Play) -> None:
    """A task that the host itself stores, once or again and again."""
    id_, now = play.new_id("task"), play.date.now()
    recurrence = play.random.choice([None, "@daily", "@every 7200"])
    task = NewTask(
        id_, now, "do it", now, Address(*CHATS[0]), recurrence=recurrence, zone="UTC", catch_up="all"
    )
    done = await play.commit(play.host, lambda: play.host.writer.run(tasks.insert, task))
    play.numbers.check(into=[id_] if done else ())


async def host_looks(play: Play) -> None:
    """What the runner sent comes into the ledger; requests are performed and answered in the same commit."""
    settlement = await play.host.look()
    seen = play.numbers.visible(PLAUSIBLE_LEAD, BATCH)
    if not settlement:
        assert seen == play.numbers.seen, f"{seen} was not seen"
        return
    done = await play.commit(play.host, lambda: play.host.settle(settlement))
    if done:
        play.numbers.seen = seen
        play.numbers.outcomes |= {action.id: None for action in settlement.actions}
    play.numbers.check(into=None if done and settlement.actions else ())
    assert play.host.peek(deliveries.seen) == play.numbers.seen


async def host_delivers(play: Play) -> None:
    """An attempt begins and ends, each with a commit; the agent hears of what failed."""
    entries = play.host.peek(deliveries.open_entries)
    for entry in play.random.sample(entries, min(3, len(entries))):
        await _deliver(play, entry)


async def _deliver(play: Play, entry: LedgerEntry) -> None:
    writer, id_ = play.host.writer, entry.message_out_id
    if not await play.commit(play.host, lambda: writer.run(deliveries.begin, id_, play.date.now())):
        return
    result = _result(play, id_)
    row = MessageOut(id_, entry.seq, "chat", Address(*CHATS[0]), "{}", None, None)
    finished = Finished(Delivery(row), result)
    done = await play.commit(play.host, lambda: play.host.writer.run(finish, finished, None, play.date.now()))
    if done and isinstance(result, Delivered | Undeliverable):
        known_as = result.receipt.platform_message_id if isinstance(result, Delivered) else None
        play.numbers.outcomes[id_] = known_as
    play.numbers.check(into=None if done else ())


def _result(play: Play, id_: str) -> Result:
    soon = play.date.now() + timedelta(seconds=5)
    told = Delivered(Receipt(f"sent-{id_}"))
    others: list[Result] = [
        Delivered(Receipt(None)),
        Undeliverable("no"),
        Unknown("died", soon),
        Later("down", soon),
    ]
    return play.random.choice([*[told] * 8, *others])


async def host_settles(play: Play) -> None:
    """Messages come to their end, or get another try; tasks go on, and users are told."""
    open_ = play.host.peek(messages_in.open_messages)
    chosen = play.random.sample(open_, min(4, len(open_)))
    settlement = Settlement([_verdict(play, message) for message in chosen])
    done = await play.commit(play.host, lambda: play.host.settle(settlement))
    play.numbers.check(into=None if done else ())


def _verdict(play: Play, message: OpenMessage) -> Verdict:
    verdicts: list[Verdict] = [
        Completed(message),
        Completed(message),
        Failed(message, "no"),
        Retry(message, 1, play.date.now(), "no"),
    ]
    return play.random.choice(verdicts)


async def host_prunes(play: Play) -> None:
    """What is older than any age goes, in the contract's order."""
    age_s = play.random.choice(AGES_S) or AGELESS
    await play.commit(play.host, lambda: play.host.prune(age_s))
    play.numbers.check(pruned=True)


async def host_forgets(play: Play) -> None:
    """All messages are answered, and old: hardly a row is left that shows what was given."""
    open_ = [message for message in play.host.peek(messages_in.open_messages) if not message.task]
    await play.host.settle(Settlement([Completed(message) for message in open_]))
    play.date.pass_(1)
    await play.host.prune(AGELESS)
    play.numbers.check(pruned=True)


async def host_reopens(play: Play) -> None:
    await play.rise(play.host)
    play.numbers.check()
