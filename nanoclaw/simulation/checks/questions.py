"""Checks that a question has one answer, from an admitted user."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from nanoclaw.records import DONE, Clicked, Routed
from nanoclaw.routing.clicks import NOT_YET
from nanoclaw.simulation.people import APPROVALS
from nanoclaw.simulation.rights import admits
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import (
    rows,
)

_ANSWERS = """
    SELECT json_extract(content, '$.questionId'), json_extract(content, '$.selectedOption')
    FROM messages_in WHERE kind = 'system' AND json_extract(content, '$.type') = 'question_response'
"""


def questions_have_one_answer(snapshot: Snapshot) -> Iterator[str]:
    """A question has one answer: the click that was accepted."""
    parked = [
        json.loads(event) for (event,) in rows(snapshot.data / "v2.db", "SELECT event FROM parked_events")
    ]
    waiting = {found["question_id"]: found["value"] for found in parked if "question_id" in found}
    for paths in snapshot.sessions():
        answers = defaultdict[str, list[str]](list)
        for question, value in rows(paths.inbound_db, _ANSWERS):
            answers[question].append(value)
        asked = {id_ for (id_,) in rows(paths.inbound_db, "SELECT message_out_id FROM deliveries")}
        known = [one for one in snapshot.clicked if _is_always_admitted(snapshot, one[0])]
        answering = [one for one in known if one[1].dropped is not None or one[1].message_ids]
        for click, routed in (one for one in answering if one[0].question_id in asked):
            given = answers[click.question_id] or [waiting.get(click.question_id, "nothing")]
            if not _fits(click, routed, given):
                became = routed.dropped or click.value
                yield f"{paths.root.name}: {click.event_id} was {became}, but the question has {given}"


def _fits(click: Clicked, routed: Routed, given: Sequence[str]) -> bool:
    if routed.dropped == NOT_YET:
        return True
    if routed.dropped is not None:
        return len(given) == 1 and given != ["nothing"]
    if click.value == DONE:
        return len(given) == 1 and bool(given[0]) and given != ["nothing"]
    return given == [click.value]


def unknown_senders_decide_nothing(snapshot: Snapshot) -> Iterator[str]:
    """A click is accepted only if its user is admitted."""
    for click, routed in snapshot.clicked:
        of_approval = click.question_id.startswith(APPROVALS)
        if not of_approval and _is_strangers(snapshot, click) and routed.dropped is None:
            yield f"{click.event_id} of the unregistered sender {click.user_id} was accepted"


def _is_always_admitted(snapshot: Snapshot, click: Clicked) -> bool:
    where, user = click.address.platform_id, click.user_id
    return all(admits(rights, where, user) for rights in snapshot.rights.since(0.0))


def _is_strangers(snapshot: Snapshot, click: Clicked) -> bool:
    return not snapshot.ever_admitted(click.address.platform_id, click.user_id)


def answered_questions_wait_no_more(snapshot: Snapshot) -> Iterator[str]:
    """An answered question is deleted from `pending_questions`."""
    waiting = {id_ for (id_,) in rows(snapshot.data / "v2.db", "SELECT question_id FROM pending_questions")}
    for click, routed in snapshot.clicked if waiting else ():
        if routed.message_ids and click.question_id in waiting:
            yield f"{click.question_id} was answered by {click.event_id}, but is still pending"
