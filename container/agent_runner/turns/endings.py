"""Endings of a turn that the runner decides: it was stopped, or its provider gives up on it."""

from datetime import datetime

from agent_runner import events, outbound
from agent_runner.commands.stop import STOPPED
from agent_runner.errors import ProviderFatal
from agent_runner.records import Address, Inbound, Reply, Result
from agent_runner.store import Connection
from agent_runner.text import clip
from agent_runner.turns.outcome import ClaimedTurn, Ending


def stopped(claimed: ClaimedTurn, by: Inbound) -> Ending:
    """Return the ending of a turn that the message `by` stops: all its messages are completed, like `by`.

    The next turn sees the messages as context, because the provider has kept nothing of this turn.
    """
    state, answered = claimed.turn_state, claimed.fetched.messages
    seen = [row.id for row in (*answered, *state.follow_ups) if row.trigger]
    state.follow_ups.append(by)

    def remember(connection: Connection, now: datetime) -> None:
        outbound.remember_stopped(connection, seen, now)

    return Ending(Result((Reply(STOPPED, by.id),), _follow_ups(claimed)), remember)


def given_up(claimed: ClaimedTurn, error: ProviderFatal) -> Ending:
    """Return the ending of a turn that would fail again: each chat is told once, and nothing is retried."""
    replies = tuple(Reply(error.for_user, id_) for id_ in _last_of_each_chat(claimed).values())
    turn_id, first = claimed.turn.turn_id, claimed.claims[0].id

    def record(connection: Connection, now: datetime) -> None:
        events.record(connection, now, "error", first, turn_id=turn_id, reason=clip(error.reason), final=True)

    return Ending(Result(replies, _follow_ups(claimed)), record)


def _last_of_each_chat(claimed: ClaimedTurn) -> dict[Address, str]:
    rows = (*claimed.fetched.messages, *(row for row in claimed.turn_state.follow_ups if row.trigger))
    addressed = ((row.address or claimed.fetched.routing, row.id) for row in rows)
    return {address: id_ for address, id_ in addressed if address is not None}


def _follow_ups(claimed: ClaimedTurn) -> tuple[str, ...]:
    return tuple(row.id for row in claimed.turn_state.follow_ups)
