"""One turn: claim, provider, and its outcome in one transaction (contract 4, Status)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import trio
from attrs import frozen

from agent_runner import events, inbound, outbound
from agent_runner.beside import beside
from agent_runner.errors import ProviderError
from agent_runner.heartbeat import Pulse, beat
from agent_runner.inbound import Fetched
from agent_runner.outbound import Ack
from agent_runner.records import Address, Claim, Draft, Reply, Result, Sent, Turn
from agent_runner.selection import Batch
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.tools import Tools

RETRY_AFTER = timedelta(seconds=30)


@frozen
class _Work:
    """A claimed turn and what its end needs."""

    turn: Turn
    claims: tuple[Claim, ...]
    omitted: tuple[Claim, ...]
    fetched: Fetched


async def take_turn(session: Session, batch: Batch) -> None:
    """Take the rows of a batch through the provider.

    Raises InboundUnavailableError before anything is claimed; StoreBusyError, DatabaseError any time.
    """
    now = session.seams.clock.now()
    fetched = await session.host.read(lambda connection: inbound.fetch(connection, batch.ids, now))
    if fetched.unreadable:
        await _fail_unreadable(session, fetched)
    if fetched.messages:
        work = await _claim(session, batch, fetched)
        await _end(session, work, await _ask(session, work))


async def _fail_unreadable(session: Session, fetched: Fetched) -> None:
    now = session.seams.clock.now()
    rows = fetched.unreadable
    await session.own.write(lambda connection: outbound.fail_unreadable(connection, rows, now))
    for row in rows:
        session.seams.log("message.unreadable", level="error", message=row.claim.id, reason=row.reason)


async def _claim(session: Session, batch: Batch, fetched: Fetched) -> _Work:
    claims = tuple(Claim(row.id, row.tries) for row in (*fetched.messages, *fetched.context))
    turn_id = session.seams.new_id("turn")
    now = session.seams.clock.now()
    sent = await session.own.write(lambda connection: outbound.claim(connection, claims, now, turn_id))
    session.seams.log(
        "turn.started", turn=turn_id, messages=len(fetched.messages), context=len(fetched.context)
    )
    return _Work(_turn(session, batch, fetched, turn_id, sent), claims, batch.omitted, fetched)


def _turn(session: Session, batch: Batch, fetched: Fetched, turn_id: str, sent: Sequence[Sent]) -> Turn:
    return Turn(
        turn_id,
        fetched.messages,
        fetched.context,
        tuple(sent),
        context_omitted=len(batch.omitted),
        assistant_name=session.config.assistant_name,
        agent_group_id=session.config.agent_group_id,
        agent_group_name=session.config.agent_group_name,
        timezone=session.config.timezone,
    )


# -- the provider --------------------------------------------------------------


async def _ask(session: Session, work: _Work) -> Result | ProviderError:
    """The provider's result, or why there is none. Its heartbeat goes on beside it."""
    pulse = Pulse()
    scope = trio.CancelScope()
    limit = session.config.silence_limit
    tools = Tools(session, work.turn, work.fetched.routing, pulse)
    async with beside(lambda: beat(session.config.heartbeat, session.seams, pulse, limit, scope)):
        with scope:
            return await _run_provider(session, work.turn, tools)
    return ProviderError(f"the provider gave no sign of life for {limit:.0f} s")


async def _run_provider(session: Session, turn: Turn, tools: Tools) -> Result | ProviderError:
    try:
        return await session.seams.provider.run(turn, tools)
    except ProviderError as error:
        return error
    except Exception as error:
        # What broke may be the database under a tool; that is no failure of the provider.
        if session.own.broken:
            raise
        return ProviderError(f"{type(error).__name__}: {error}")


# -- the outcome ---------------------------------------------------------------


async def _end(session: Session, work: _Work, outcome: Result | ProviderError) -> None:
    if isinstance(outcome, ProviderError):
        await _release(session, work, outcome)
    else:
        await _complete(session, work, outcome)


async def _release(session: Session, work: _Work, error: ProviderError) -> None:
    now = session.seams.clock.now()
    ack = Ack("released", work.turn.turn_id, error.retry_at or now + RETRY_AFTER, error.reason)
    await session.own.write(lambda connection: outbound.close(connection, work.claims, now, ack))
    session.seams.log("turn.released", level="warning", turn=work.turn.turn_id, reason=error.reason)


async def _complete(session: Session, work: _Work, result: Result) -> None:
    replies = [(reply, _address(work.fetched, reply)) for reply in result.replies if reply.text.strip()]
    drafts = [_draft(session, work.turn, reply, address) for reply, address in replies if address]
    homeless = [reply for reply, address in replies if address is None]
    now = session.seams.clock.now()
    await session.own.write(lambda connection: _write_end(connection, work, drafts, homeless, now))
    session.seams.log("turn.ended", turn=work.turn.turn_id, replies=len(drafts))


def _write_end(
    connection: Connection, work: _Work, drafts: Sequence[Draft], homeless: Sequence[Reply], now: datetime
) -> None:
    for draft in drafts:
        outbound.send(connection, draft, work.fetched.sequence_floor)
    ack = Ack("completed", work.turn.turn_id)
    outbound.acknowledge(connection, work.omitted, now, ack)
    outbound.close(connection, work.claims, now, ack)
    for reply in homeless:
        _fail_homeless(connection, work, reply, now)
    outbound.forget(connection, work.turn.turn_id)


def _fail_homeless(connection: Connection, work: _Work, reply: Reply, now: datetime) -> None:
    """An answer that has nowhere to go would come to the same at every try."""
    reason = "the answer has no address: neither its message nor session_routing has one"
    answered = [claim for claim in work.claims if claim.id == reply.in_reply_to]
    outbound.acknowledge(connection, answered, now, Ack("failed", work.turn.turn_id, error=reason))
    events.record(connection, now, "error", reply.in_reply_to, turn_id=work.turn.turn_id, reason=reason)


def _draft(session: Session, turn: Turn, reply: Reply, address: Address) -> Draft:
    return Draft(
        session.seams.new_id("out"),
        session.seams.clock.now(),
        address,
        {"text": reply.text},
        turn.turn_id,
        in_reply_to=reply.in_reply_to,
    )


def _address(fetched: Fetched, reply: Reply) -> Address | None:
    """Where a reply goes: to where the message it answers came from, else to the session's own chat."""
    answered = (row for row in (*fetched.messages, *fetched.context) if row.id == reply.in_reply_to)
    return next((row.address for row in answered if row.address), fetched.routing)
