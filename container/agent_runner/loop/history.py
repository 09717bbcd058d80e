"""The conversation of a session, kept in its state: one value a turn, committed with the turn.

`history/000012` holds the messages of one turn as JSON. The value of a compacted conversation is a summary,
which replaces all values before it. A value that cannot be read, such as of another build, is skipped.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from agent_runner.loop.conversation import (
    Asked,
    Blob,
    FilePart,
    Message,
    Part,
    Returned,
    Said,
    Text,
    ToolCall,
    ToolResult,
    cut_middle,
)
from agent_runner.session_state import LARGEST_VALUE
from agent_runner.text import clean

PREFIX = "history/"
VERSION = 1
MOST_TURNS = 500
"""Turns that are kept. The session's state takes 1,000 keys."""
LARGEST = LARGEST_VALUE // 2
"""Bytes of a value. Larger turns are shortened."""
_KEY = re.compile(r"history/(\d{6,12})")

StateChanges: TypeAlias = Mapping[str, str | None]


@frozen
class PastTurn:
    """A turn that is over, or the summary of all turns before."""

    number: int
    messages: tuple[Message, ...] = ()
    summary: str = ""
    """A summary of this turn and of all before it. Then there are no messages."""


@frozen
class History:
    """The turns of a session, oldest first."""

    turns: tuple[PastTurn, ...] = ()
    stale: tuple[str, ...] = ()
    """Keys whose values are of no use any more."""
    unreadable: int = 0
    """The number of values that could not be read."""
    last: int = 0
    """The largest number in use."""

    @property
    def summary(self) -> str:
        """The summary that the conversation begins with, or an empty text."""
        return self.turns[0].summary if self.turns else ""

    def after_turn(self, messages: Sequence[Message]) -> StateChanges:
        """Return the changes of the state that add a turn. Blobs and results are kept short."""
        kept = _storable(messages)
        if not kept:
            return dict.fromkeys(self.stale)
        too_old = [key_of(turn.number) for turn in self.turns[: max(0, len(self.turns) - MOST_TURNS + 1)]]
        return {**dict.fromkeys([*self.stale, *too_old]), key_of(self.last + 1): _dump(kept)}

    def compacted(self, kept: int, summary: str) -> "History":
        """Return the history with all but the last `kept` turns replaced by a summary."""
        gone = self.turns[: len(self.turns) - kept]
        if not gone:
            return self
        replaced = PastTurn(gone[-1].number, summary=summary)
        stale = (*self.stale, *(key_of(turn.number) for turn in gone[:-1]))
        return evolve(self, turns=(replaced, *self.turns[len(gone) :]), stale=stale)

    def forgotten(self) -> "History":
        """Return an empty history that removes all turns."""
        stale = (*self.stale, *(key_of(turn.number) for turn in self.turns))
        return History(stale=stale, last=self.last)

    def summary_changes(self) -> StateChanges:
        """Return the change of the state that stores the summary; empty if there is none."""
        first = self.turns[0] if self.turns else None
        if first is None or not first.summary:
            return {}
        return {key_of(first.number): json.dumps({"v": VERSION, "summary": first.summary})}


def key_of(number: int) -> str:
    """Return the key of a turn."""
    return f"{PREFIX}{number:06}"


@define(eq=False)
class HistoryReader:
    """Reads the history of a session again and again, and parses only the values that have changed."""

    _known: Mapping[str, tuple[str, PastTurn | None]] = field(factory=dict, init=False)
    """The values of the last history, and what was read in them, by key."""

    def read(self, state: Mapping[str, str]) -> History:
        """Read the history of the session's state. It never fails."""
        numbered = {int(found[1]): key for key in state if (found := _KEY.fullmatch(key))}
        self._known = {key: self._turn(number, key, state[key]) for number, key in numbered.items()}
        turns: list[PastTurn] = []
        stale: list[str] = []
        unreadable = 0
        for number in sorted(numbered):
            _, turn = self._known[numbered[number]]
            if turn is None:
                unreadable += 1
                stale.append(numbered[number])
                continue
            if turn.summary:
                stale += [key_of(earlier.number) for earlier in turns]
                turns = []
            turns.append(turn)
        return History(tuple(turns), tuple(stale), unreadable, max(numbered, default=0))

    def _turn(self, number: int, key: str, value: str) -> tuple[str, PastTurn | None]:
        known = self._known.get(key)
        return known if known is not None and known[0] == value else (value, _read_turn(number, value))


def read_history(state: Mapping[str, str]) -> History:
    """Read the history of a session's state once. It never fails."""
    return HistoryReader().read(state)


# -- values ------------------------------------------------------------------------


def _storable(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return messages without contents of files, and of a size that the state takes."""
    kept = tuple(_without_blobs(message) for message in messages)
    for most in (20_000, 2_000, 200, 20):
        if len(_dump(kept).encode("utf-8", "replace")) <= LARGEST:
            return kept
        kept = tuple(shortened(message, most) for message in kept)
    return kept if len(_dump(kept)) <= LARGEST else ()


def _without_blobs(message: Message) -> Message:
    if not isinstance(message, Asked):
        return message
    return Asked(tuple(part for part in message.parts if not isinstance(part, Blob)))


def shortened(message: Message, most: int) -> Message:
    """Return a message whose texts have at most `most` characters each."""
    match message:
        case Asked(parts):
            return Asked(tuple(_short_part(part, most) for part in parts))
        case Said(text, calls):
            short = tuple(_short_call(call, most) for call in calls)
            return Said(cut_middle(text, most), short)
        case Returned(results):
            return Returned(tuple(evolve(each, text=cut_middle(each.text, most)) for each in results))


def _short_part(part: Part, most: int) -> Part:
    return Text(cut_middle(part.text, most)) if isinstance(part, Text) else part


def _short_call(call: ToolCall, most: int) -> ToolCall:
    if len(json.dumps(dict(call.arguments))) <= most:
        return call
    return evolve(call, arguments={"note": "these arguments were too long to keep"})


def _dump(messages: Sequence[Message]) -> str:
    value = {"v": VERSION, "messages": [_value(message) for message in messages]}
    return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _value(message: Message) -> Mapping[str, object]:
    match message:
        case Asked(parts):
            return {"asked": [_part_value(part) for part in parts]}
        case Said(text, calls):
            return {"said": text, "calls": [[call.id, call.name, call.arguments] for call in calls]}
        case Returned(results):
            return {"returned": [[each.call_id, each.text, each.is_error] for each in results]}


def _part_value(part: Part) -> object:
    if isinstance(part, Text):
        return part.text
    return {"name": part.name, "type": part.media_type, "path": str(getattr(part, "path", ""))}


def _read_turn(number: int, value: str) -> PastTurn | None:
    try:
        match json.loads(value):
            case {"v": 1, "summary": str(summary)} if summary.strip():
                return PastTurn(number, summary=summary)
            case {"v": 1, "messages": list(messages)} if messages:
                found = tuple(_read_message(message) for message in messages)
                return PastTurn(number, found) if _is_whole(found) else None
            case _:
                return None
    except (ValueError, TypeError, RecursionError):
        return None


def _read_message(value: Any) -> Message:
    """Read one message. Raises ValueError or TypeError."""
    match value:
        case {"asked": list(parts)}:
            return Asked(tuple(_read_part(part) for part in parts))
        case {"said": str(text), "calls": list(calls)}:
            return Said(text, tuple(_read_call(*call) for call in calls))
        case {"returned": list(results)}:
            return Returned(tuple(_read_result(*result) for result in results))
        case _:
            raise ValueError("not a message")


def _read_part(value: Any) -> Part:
    match value:
        case str(text):
            return Text(text)
        case {"name": str(name), "type": str(kind), "path": str(path)}:
            return FilePart(name, Path(path), kind)
        case _:
            raise ValueError("not a part of a message")


def _read_call(id_: object, name: object, arguments: object) -> ToolCall:
    if not (isinstance(id_, str) and isinstance(name, str) and isinstance(arguments, dict)):
        raise ValueError("not a call of a tool")  # noqa: TRY004 -- one error for one condition: unreadable
    return ToolCall(id_, name, arguments)


def _read_result(call_id: object, text: object, is_error: object) -> ToolResult:
    if not (isinstance(call_id, str) and isinstance(text, str)):
        raise ValueError("not a result of a tool")  # noqa: TRY004 -- as above
    return ToolResult(call_id, text, bool(is_error))


def _is_whole(messages: Sequence[Message]) -> bool:
    """Return True if the turn begins with a question, and all calls have their results right after them."""
    waiting: list[str] = []
    for message in messages:
        given = [each.call_id for each in message.results] if isinstance(message, Returned) else []
        if given != waiting:
            return False
        waiting = [call.id for call in message.calls] if isinstance(message, Said) else []
    return isinstance(messages[0], Asked) and not waiting
