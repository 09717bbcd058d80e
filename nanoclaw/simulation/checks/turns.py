"""Checks of turns: their order, their retries, and the messages of a repeated turn."""

from collections.abc import Iterator

from nanoclaw.simulation.network import ROUNDING_S
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import (
    SENT_TEXT,
    rows,
)


def retries_wait(snapshot: Snapshot) -> Iterator[str]:
    """A retry waits at least `retry_base_s` · 2^tries."""
    for id_, tries, pause in snapshot.pauses:
        if pause < snapshot.retry_base_s * 2**tries - ROUNDING_S:
            yield f"retry {tries} of {id_} came too early, after {pause:g} s"


def turns_are_in_order(snapshot: Snapshot) -> Iterator[str]:
    """A turn has its messages in the order of their numbers."""
    for messages in snapshot.turns:
        if list(messages) != sorted(messages):
            yield f"a turn was out of order: {', '.join(f'{id_} ({seq})' for seq, id_, _ in messages)}"


def retries_are_alone(snapshot: Snapshot) -> Iterator[str]:
    """A message that was tried before has a turn of its own."""
    for messages in snapshot.turns:
        if len(messages) > 1 and any(tries for *_, tries in messages):
            yield f"a retry was not alone: {', '.join(f'{id_} (try {tries})' for _, id_, tries in messages)}"


def mid_turn_messages_are_sent_once(snapshot: Snapshot) -> Iterator[str]:
    """A repeated turn does not send a message again. In a workload each text is sent once.

    Answers begin with `re`. A message that a tool sent to an agent may name a message, but is no answer.
    """
    sql = f"""
        SELECT coalesce({SENT_TEXT}, json_extract(content, '$.question')) AS text,
          count(*) AS n
        FROM messages_out WHERE kind = 'chat' AND (in_reply_to IS NULL OR text GLOB '[#]*')
          AND text NOT GLOB '*-every on it' AND json_extract(content, '$.operation') IS NULL
        GROUP BY text HAVING n > 1
        """  # noqa: S608 -- a constant
    for paths in snapshot.sessions():
        for text, n in rows(paths.outbound_db, sql):
            yield f"{paths.root.name}: {text!r} was sent {n} times"
