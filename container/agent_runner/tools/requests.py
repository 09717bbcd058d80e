"""Asking the host to do something: a row of kind `system`, and its answer in inbound.db (contract 5)."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

import trio

from agent_runner import inbound, outbound
from agent_runner.errors import InboundUnavailableError, ToolError
from agent_runner.records import Address, Claim, Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import Bench, send

LONGEST_WAIT = 10.0
LOOK_AGAIN = 10.0
"""A wake-up may have been lost."""
TIMEOUT = 60.0
"""What a tool that asks declares: it waits for locks, too."""

Query = Callable[[Connection, datetime], Inbound | None]
"""Finds an answer in inbound.db, at that date."""


async def request(
    bench: Bench, content: Mapping[str, object], address: Address | None
) -> Mapping[str, object] | None:
    """Ask, and wait for the answer; what came of it, or None when there was no answer in 10 s.

    The request stands even so: its answer comes to a later turn. An answer that comes belongs to this turn.
    Raises ToolError with the host's words when it refused.
    """
    id_ = bench.session.seams.new_id("out")
    with bench.extras.awaiting(f"answer-{id_}"):
        await send(bench, address, content, id_, kind="system")
        answer = await wait_for(bench, partial(_answer, f"answer-{id_}"), LONGEST_WAIT)
        if answer is None:
            return None
        await take(bench, answer)
    return _result(answer.content)


def _answer(id_: str, connection: Connection, now: datetime) -> Inbound | None:
    return inbound.answer(connection, id_, now)


async def wait_for(bench: Bench, query: Query, patience_s: float) -> Inbound | None:
    """The answer that the query finds, for which it waits so long; None: there is none.

    What the query raises goes to the caller.
    """
    with trio.move_on_after(patience_s):
        while True:
            seen = bench.session.changes.count
            if answer := await _look(bench, query):
                return answer
            with trio.move_on_after(LOOK_AGAIN):
                await bench.session.changes.after(seen)
    return await _look(bench, query)


async def _look(bench: Bench, query: Query) -> Inbound | None:
    now = bench.session.seams.clock.now()
    with suppress(InboundUnavailableError):
        return await bench.session.host.read(lambda connection: query(connection, now))
    return None


async def take(bench: Bench, answer: Inbound) -> None:
    """Make an answer this turn's, which closes it."""
    claim = Claim(answer.id, answer.tries)
    now = bench.session.seams.clock.now()
    turn_id = bench.turn.turn_id
    await bench.session.own.write(lambda connection: outbound.join(connection, [claim], now, turn_id))
    bench.extras.answers.append(claim)


def _result(content: Mapping[str, object]) -> Mapping[str, object]:
    match content:
        case {"status": "completed", "result": dict(result)}:
            return result
        case {"status": "completed"}:
            return {}
        case {"result": {"error": str(reason)}}:
            raise ToolError(reason)
        case _:
            raise ToolError("the host refused, and did not say why")
