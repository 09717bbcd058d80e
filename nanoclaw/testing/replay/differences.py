"""The differences between a replay and its recording, one sentence each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import SequenceMatcher

from attrs import frozen

from nanoclaw.recording.notes import Asked, Confirmed, FileMark, Left
from nanoclaw.recording.redaction import redacted
from nanoclaw.records import Address, Routed
from nanoclaw.store import from_text
from nanoclaw.testing.replay.channel import Happened, where
from nanoclaw.testing.replay.script import Script

SLOT_S = 2.0
"""Seconds within which two slots count as the same: a series' first may depend on the moment."""
PARTS = ("card-", "dm-", "question-")
"""The beginnings of the keys of what the host sends beside its sessions."""
SHOWN = 60
"""Number of characters of a content that are shown."""


@frozen
class Said:
    """A request to a channel, without the parts that may differ in a replay."""

    row: str
    content: str
    in_reply_to: str | None
    files: tuple[FileMark, ...]
    lookup: bool

    def __str__(self) -> str:
        verb = "look for" if self.lookup else "deliver"
        content = self.content if len(self.content) <= SHOWN else f"{self.content[:SHOWN]}…"
        answers = "" if self.in_reply_to is None else f" in reply to {self.in_reply_to}"
        files = "".join(f", with {file.name} of {file.size} bytes" for file in self.files)
        return f"{verb} {self.row} {content}{answers}{files}"


def differences(script: Script, happened: Happened, *, redact: bool, until: float) -> Iterator[str]:
    """Yield differences in requests to channels and in the results of events; `until` is the replay's end."""
    recorded = _by_writer([asked for at, asked in script.asked if at <= until], redact=False)
    replayed = _by_writer([asked for at, asked in happened.asked if at <= until], redact=redact)
    for place, by in sorted({*recorded, *replayed}, key=lambda each: (where(each[0]), each[1])):
        before, now = recorded.get((place, by), []), replayed.get((place, by), [])
        yield from _of_chat(where(place), before, now, whole=script.whole)
    yield from _of_events(script, happened)


def _by_writer(asked: Sequence[Asked], *, redact: bool) -> Mapping[tuple[Address, str], list[Asked]]:
    """Return the requests by chat and part of the host. Only what one part sends has an order."""
    found = dict[tuple[Address, str], list[Asked]]()
    for note in asked:
        shown = redacted(note) if redact else note
        part = next((each for each in PARTS if note.key.startswith(each)), "")
        found.setdefault((note.address, part), []).append(shown if isinstance(shown, Asked) else note)
    return found


def _of_chat(place: str, before: Sequence[Asked], now: Sequence[Asked], *, whole: bool) -> Iterator[str]:
    then, again = [_said(note) for note in before], [_said(note) for note in now]
    if then != again:
        yield from _edits(place, then, again, whole=whole)
        return
    for first, second in zip(before, now, strict=True):
        if not _same_slot(first.key, second.key):
            yield f"{place}: {first.key} was delivered as {second.key}"


def _edits(place: str, then: Sequence[Said], again: Sequence[Said], *, whole: bool) -> Iterator[str]:
    """Yield missing and new requests. If the recording has no end, its list may go on."""
    for tag, i, j, k, m in SequenceMatcher(None, then, again, autojunk=False).get_opcodes():
        if tag == "equal" or (not whole and j == len(then) and tag == "insert"):
            continue
        yield from (f"{place}: the recording has, the replay has not: {said}" for said in then[i:j])
        yield from (f"{place}: the replay has, the recording has not: {said}" for said in again[k:m])


def _said(note: Asked) -> Said:
    told = {name: value for name, value in note.content.items() if value and name != "is"}
    content = f"{note.content.get('is')} {json.dumps(told, ensure_ascii=False, sort_keys=True)}"
    return Said(note.key.partition("@")[0], content, note.in_reply_to, tuple(note.files), note.lookup)


def _same_slot(first: str, second: str) -> bool:
    if first == second:
        return True
    try:
        apart = from_text(first.partition("@")[2]) - from_text(second.partition("@")[2])
    except ValueError:
        return False
    return abs(apart) < timedelta(seconds=SLOT_S)


# -- events --------------------------------------------------------------------


def _of_events(script: Script, happened: Happened) -> Iterator[str]:
    for n, note in sorted(script.confirmed.items()):
        now = happened.routed.get(n)
        if isinstance(note, Confirmed) and now is not None and now != note.routed:
            yield f"event {n}: it was {_routed(note.routed)}, now it was {_routed(now)}"
        elif isinstance(note, Confirmed) and now is None and script.whole:
            yield f"event {n}: it was {_routed(note.routed)}, now it was not confirmed"
        elif (
            not isinstance(note, Confirmed)
            and not note.reason.startswith("cut off")
            and isinstance(now, Routed)
        ):
            yield f"event {n}: it was refused ({note.reason}), now it was {_routed(now)}"


def _routed(routed: Routed | str) -> str:
    if isinstance(routed, str):
        return f"refused ({routed})"
    if routed.dropped is not None:
        return f"dropped ({routed.dropped})"
    return f"stored by {', '.join(routed.session_ids) or 'no session'}"


# -- what is left ----------------------------------------------------------------


def of_left(before: Left, now: Left | None, *, pruned: bool) -> Iterator[str]:
    """Yield differences in final statuses. Rows that the recording `pruned` may still exist."""
    if now is None:
        yield f"session {before.session}: it cannot be read"
        return
    for what, then, again in (
        ("message", before.messages, now.messages),
        ("delivery", before.deliveries, now.deliveries),
    ):
        known = {id_: status for id_, status in again.items() if not pruned or id_ in then}
        yield from _of_statuses(f"session {before.session}, {what}", then, known)


def _of_statuses(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for id_ in sorted({*before, *now}):
        then, again = before.get(id_, "not there"), now.get(id_, "not there")
        if then != again:
            yield f"{what} {id_}: it was {then}, now it is {again}"
