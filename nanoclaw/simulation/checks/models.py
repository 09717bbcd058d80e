"""Checks of agents that ask a model: their conversation, the recorded usage, the key and the drafts."""

import json
import re
from collections.abc import Iterator

from nanoclaw.records import SessionPaths
from nanoclaw.simulation.model_ledger import recorded
from nanoclaw.simulation.scripted_model import KEY
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import SENT_TEXT, rows

_ANSWERED = re.compile(r"^re (#\S+)$", re.MULTILINE)
_HISTORY = "SELECT value FROM session_state WHERE key GLOB 'history/*' ORDER BY key"
_SAID = f"""
    SELECT {SENT_TEXT} FROM messages_out
    WHERE kind = 'chat' AND in_reply_to IS NOT NULL ORDER BY seq
    """  # noqa: S608 -- a constant


def completed_turns_are_remembered_once(snapshot: Snapshot) -> Iterator[str]:
    """The conversation has each completed turn once, in order, and nothing of an interrupted turn.

    A summary replaces the oldest turns. So the answers in the conversation are the last ones that were sent.
    """
    for paths in snapshot.sessions():
        if paths.root.name in snapshot.modelled:
            has_summary, kept = _remembered(paths)
            sent = [names for (text,) in rows(paths.outbound_db, _SAID) if (names := _names(text))]
            if kept != sent[len(sent) - len(kept) :] or (len(kept) < len(sent) and not has_summary):
                yield f"{paths.root.name}: the conversation has {kept}, but the agent has said {sent}"


def _remembered(paths: SessionPaths) -> tuple[bool, list[list[str]]]:
    """Return whether the conversation begins with a summary, and what each turn after it answered."""
    has_summary, found = False, list[list[str]]()
    for (value,) in rows(paths.outbound_db, _HISTORY):
        turn = json.loads(value)
        if "summary" in turn:
            has_summary, found = True, []
        elif names := _names(turn["messages"][-1].get("said")):
            found.append(names)
    return has_summary, found


def _names(text: object) -> list[str]:
    return _ANSWERED.findall(str(text or ""))


def no_answer_is_counted_twice(snapshot: Snapshot) -> Iterator[str]:
    """The host records no more answers than the model has given."""
    count = recorded(snapshot.data / "v2.db")
    if count > snapshot.answered:
        yield f"{count} answers of the model are recorded, but it has given {snapshot.answered}"


def all_answers_are_counted(snapshot: Snapshot) -> Iterator[str]:
    """The host has recorded each answer of the model, except those that were under way when a host died."""
    count = recorded(snapshot.data / "v2.db")
    if count < snapshot.answered - snapshot.unrecorded:
        yield (
            f"{count} answers of the model are recorded, but it has given {snapshot.answered}; at most "
            f"{snapshot.unrecorded} of them were lost with a host"
        )


def no_file_has_the_key(snapshot: Snapshot) -> Iterator[str]:
    """No file of the home has the key of the model's server."""
    for path in sorted(snapshot.data.parent.rglob("*")):
        if path.is_file() and KEY.encode() in path.read_bytes():
            yield f"{path.relative_to(snapshot.data.parent)} has the key of the model's server"


def idle_runners_leave_no_draft(snapshot: Snapshot) -> Iterator[str]:
    """A draft is removed with the end of its turn."""
    for paths in snapshot.sessions():
        if paths.root.name in snapshot.resting and paths.draft.exists():
            yield f"{paths.root.name}: its runner is idle, but there is a draft"
