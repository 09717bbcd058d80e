"""Checks of turns: their order, their retries, and what a repeated turn sends again."""

from collections.abc import Iterator

from nanoclaw.simulation.network import ROUNDING_S
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import (
    rows,
)


def retries_wait(snapshot: Snapshot) -> Iterator[str]:
    """Each retry waits twice as long as the one before."""
    for id_, tries, pause in snapshot.pauses:
        if pause < snapshot.retry_base_s * 2**tries - ROUNDING_S:
            yield f"{id_} was tried again, number {tries}, after {pause:g} s"


def turns_are_in_order(snapshot: Snapshot) -> Iterator[str]:
    """An agent hears the messages of a turn in the order of their numbers."""
    for messages in snapshot.turns:
        if list(messages) != sorted(messages):
            yield f"a turn had {', '.join(f'{id_} ({seq})' for seq, id_, _ in messages)}"


def retries_are_alone(snapshot: Snapshot) -> Iterator[str]:
    """A message that failed before has a turn of its own."""
    for messages in snapshot.turns:
        if len(messages) > 1 and any(tries for *_, tries in messages):
            yield f"a turn had {', '.join(f'{id_} (try {tries})' for _, id_, tries in messages)}"


def mid_turn_messages_are_sent_once(snapshot: Snapshot) -> Iterator[str]:
    """A turn that is told again is told what it had sent: workloads send each text once."""
    sql = """
        SELECT coalesce(json_extract(content, '$.text'), json_extract(content, '$.question')) AS text,
          count(*) AS n
        FROM messages_out WHERE kind = 'chat' AND in_reply_to IS NULL AND text NOT GLOB '*-every on it'
          AND json_extract(content, '$.operation') IS NULL
        GROUP BY text HAVING n > 1
        """
    for paths in snapshot.sessions():
        for text, n in rows(paths.outbound_db, sql):
            yield f"{paths.root.name}: {text!r} was sent {n} times"
