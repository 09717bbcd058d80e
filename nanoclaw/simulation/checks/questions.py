"""Checks that a question has one answer, by a user who may give it."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from nanoclaw.records import Clicked, Routed
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import (
    rows,
)

_ANSWERS = """
    SELECT json_extract(content, '$.questionId'), json_extract(content, '$.selectedOption')
    FROM messages_in WHERE kind = 'system' AND json_extract(content, '$.type') = 'question_response'
"""


def questions_have_one_answer(snapshot: Snapshot) -> Iterator[str]:
    """A question has one answer: the one that counted."""
    parked = [
        json.loads(event) for (event,) in rows(snapshot.data / "v2.db", "SELECT event FROM parked_events")
    ]
    waiting = {found["question_id"]: found["value"] for found in parked if "question_id" in found}
    for paths in snapshot.sessions():
        answers = defaultdict[str, list[str]](list)
        for question, value in rows(paths.inbound_db, _ANSWERS):
            answers[question].append(value)
        asked = {id_ for (id_,) in rows(paths.inbound_db, "SELECT message_out_id FROM deliveries")}
        known = [one for one in snapshot.clicked if not _is_strangers(snapshot, one[0])]
        for click, routed in (one for one in known if one[0].question_id in asked):
            given = answers[click.question_id] or [waiting.get(click.question_id, "nothing")]
            if not _fits(click, routed, given):
                became = routed.dropped or click.value
                yield f"{paths.root.name}: {click.event_id} was {became}, it has {given}"


def _fits(click: Clicked, routed: Routed, given: Sequence[str]) -> bool:
    return given == [click.value] if routed.dropped is None else len(given) == 1 and given != ["nothing"]


def unknown_senders_decide_nothing(snapshot: Snapshot) -> Iterator[str]:
    """A click counts only if the agent listens to its user."""
    for click, routed in snapshot.clicked:
        if _is_strangers(snapshot, click) and routed.dropped is None:
            yield f"{click.event_id} of the stranger {click.user_id} counts"


def _is_strangers(snapshot: Snapshot, click: Clicked) -> bool:
    return click.user_id not in snapshot.admitted.get(click.address.platform_id, {click.user_id})


def answered_questions_wait_no_more(snapshot: Snapshot) -> Iterator[str]:
    """A question whose answer has counted is taken away."""
    waiting = {id_ for (id_,) in rows(snapshot.data / "v2.db", "SELECT question_id FROM pending_questions")}
    for click, routed in snapshot.clicked if waiting else ():
        if routed.dropped is None and click.question_id in waiting:
            yield f"{click.question_id} was answered by {click.event_id}, and waits"
