"""Reads open rows and waits for the next change: for the loop, and for turns that take follow-ups."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import trio
from attrs import evolve

from agent_runner import inbound, outbound
from agent_runner.inbound import Candidate, Fetched
from agent_runner.records import Inbound
from agent_runner.session import Session
from agent_runner.store import Connection

Filter = Callable[[Connection, Iterable[Candidate]], list[Candidate]]


class Picker(Protocol):
    """Takes rows, oldest first, until it is closed."""

    closed: bool

    def offer(self, row: Candidate) -> None:
        """Consider the next row."""
        ...


async def scan(session: Session, picker: Picker, left: Filter = outbound.unsettled) -> None:
    """Offer the open rows that pass the filter on their acks, page by page.

    Raises InboundUnavailableError, StoreBusyError, DatabaseError.
    """
    after = 0
    while not picker.closed:
        page = await session.inbound.select(lambda connection: inbound.open_rows(connection, after))  # noqa: B023 -- read at once
        if page:
            for row in await session.outbound.read(lambda connection: left(connection, page)):  # noqa: B023 -- read at once
                picker.offer(row)
        if len(page) < inbound.PAGE:
            return
        after = page[-1].seq


async def fetch(session: Session, ids: Sequence[str]) -> Fetched:
    """Read these rows completely. Unreadable ones are failed at once, so that they do not come again.

    Raises InboundUnavailableError, StoreBusyError, DatabaseError.
    """
    now = session.seams.clock.now()
    fetched = await session.inbound.read(lambda connection: inbound.fetch(connection, ids, now))
    if fetched.unreadable:
        await _fail_unreadable(session, fetched)
    return await _with_questions(session, fetched)


async def _with_questions(session: Session, fetched: Fetched) -> Fetched:
    """Add `title` and `question` to users' choices: the turn that asked may have ended long ago."""
    ids = {_question_id(row) for row in (*fetched.messages, *fetched.context)} - {None}
    if not ids:
        return fetched
    asked = await session.outbound.read(lambda connection: outbound.sent_contents(connection, ids))
    return evolve(
        fetched,
        messages=tuple(_with_question(row, asked) for row in fetched.messages),
        context=tuple(_with_question(row, asked) for row in fetched.context),
    )


def _question_id(row: Inbound) -> object:
    is_choice = row.kind == "system" and row.content.get("type") == "question_response"
    return row.content.get("questionId") if is_choice else None


def _with_question(row: Inbound, asked: Mapping[object, Mapping[str, object]]) -> Inbound:
    question = asked.get(_question_id(row), {})
    words = {key: question[key] for key in ("title", "question") if key in question}
    return evolve(row, content={**words, **row.content}) if words else row


async def _fail_unreadable(session: Session, fetched: Fetched) -> None:
    now = session.seams.clock.now()
    rows = fetched.unreadable
    await session.outbound.write(lambda connection: outbound.fail_unreadable(connection, rows, now))
    for row in rows:
        session.seams.log("message.unreadable", level="error", message=row.claim.id, reason=row.reason)


async def wait_for_change(session: Session, seen: int, next_due: datetime | None) -> None:
    """Return at the next commit of the host after the count `seen`, at `next_due`, or after a slow poll."""
    delay = slow_poll = session.config.slow_poll
    if next_due is not None:
        delay = (next_due - session.seams.clock.now()).total_seconds()
    with trio.move_on_after(max(0.0, min(delay, slow_poll))):
        await session.changes.after(seen)
