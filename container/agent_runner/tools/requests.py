"""Requests to the host: a row of kind `system`, and its answer in inbound.db (contract 5)."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

import trio

from agent_runner import inbound, outbound
from agent_runner.errors import InboundUnavailableError, ToolError
from agent_runner.records import Address, Claim, Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import ToolContext, send

LONGEST_WAIT = 10.0
POLL_AGAIN = 10.0
"""Seconds after which an answer is read without a wake-up, which may be lost."""
TIMEOUT = 60.0
"""The timeout of tools that send a request. They wait for locks, too."""

Query = Callable[[Connection, datetime], Inbound | None]
"""Reads an answer from inbound.db. A row without a date gets the given time."""


async def request(
    context: ToolContext, content: Mapping[str, object], address: Address | None
) -> Mapping[str, object] | None:
    """Send a request and wait for its answer; return the result, or None if none came within 10 s.

    Without an answer, the request stays valid, and a later turn gets the answer.
    Raises ToolError with the host's reason if the host refused.
    """
    id_ = context.session.seams.new_id("out")
    with context.turn_state.reserved(f"answer-{id_}"):
        await send(context, address, content, id_, kind="system")
        answer = await wait_for_answer(context, partial(_answer, f"answer-{id_}"), LONGEST_WAIT)
        if answer is None:
            return None
        await claim_answer(context, answer)
    return _result(answer.content)


def _answer(id_: str, connection: Connection, now: datetime) -> Inbound | None:
    return inbound.answer(connection, id_, now)


async def wait_for_answer(context: ToolContext, query: Query, patience_s: float) -> Inbound | None:
    """Wait `patience_s` seconds for the row that the query reads. Return None if there is none.

    Errors of the query are raised unchanged.
    """
    with trio.move_on_after(patience_s):
        while True:
            seen = context.session.changes.count
            if answer := await _read(context, query):
                return answer
            with trio.move_on_after(POLL_AGAIN):
                await context.session.changes.after(seen)
    return await _read(context, query)


async def _read(context: ToolContext, query: Query) -> Inbound | None:
    now = context.session.seams.clock.now()
    with suppress(InboundUnavailableError):
        return await context.session.inbound.read(lambda connection: query(connection, now))
    return None


async def claim_answer(context: ToolContext, answer: Inbound) -> None:
    """Claim an answer for this turn. The turn's outcome completes it."""
    claim = Claim(answer.id, answer.tries)
    now = context.session.seams.clock.now()
    turn_id = context.turn.turn_id
    await context.session.outbound.write(
        lambda connection: outbound.claim_more(connection, [claim], now, turn_id)
    )
    context.turn_state.answers.append(claim)


def _result(content: Mapping[str, object]) -> Mapping[str, object]:
    match content:
        case {"status": "completed", "result": dict(result)}:
            return result
        case {"status": "completed"}:
            return {}
        case {"result": {"error": str(reason)}}:
            raise ToolError(reason)
        case _:
            raise ToolError("the host refused and gave no reason")
