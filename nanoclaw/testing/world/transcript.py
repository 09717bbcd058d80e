"""Transcripts: the timed actions of users and agents in a chat, as its users see them."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, get_args

import trio
from attrs import Factory, define, evolve, frozen

from nanoclaw.channels.cards import MARKS
from nanoclaw.records import (
    Attachment,
    CardContent,
    CardEditContent,
    EditContent,
    Option,
    Outgoing,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    TextContent,
)
from nanoclaw.testing.world.timeline import in_one_line

AgentsKind = Literal["message", "edit", "reaction", "card"]
AGENTS_KINDS: tuple[AgentsKind, ...] = get_args(AgentsKind)
Kind = Literal[AgentsKind, "click", "deletion", "webhook"]


@frozen
class Entry:
    """One action of a user or an agent in a chat, of `chat.transcript`."""

    at: datetime
    """The virtual date."""
    who: str
    """The name of the user, or of the agent."""
    text: str
    """The text; the emoji of a reaction, the question of a card, the button's label of a click."""
    kind: Kind = "message"
    """`message`, `edit`, `reaction`, `card`, `click`, `deletion` or `webhook`."""
    from_agent: bool = False
    """True if an agent did it."""
    id: str | None = None
    """The id in the network."""
    about: str | None = None
    """The id of the message that an edit, a reaction or an answer refers to."""
    thread: str | None = None
    """The id of the thread, if it happened in one."""
    files: Mapping[str, bytes] = Factory(dict)
    """The content of its files, by name."""
    card: QuestionContent | None = None
    """The whole card, if it has buttons."""
    dropped: str | None = None
    """The reason why the host dropped what a user did."""

    def button(self, label: str) -> Option | None:
        """Return the button with this label, without the mark that says if it is chosen."""
        options = self.card.options if self.card else ()
        return next((each for each in options if label in {each.label, _unmarked(each.label)}), None)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The labels of the options that the card shows as chosen."""
        options = self.card.options if self.card else ()
        return tuple(_unmarked(each.label) for each in options if each.label.startswith(MARKS[1]))

    def __str__(self) -> str:
        return in_one_line(self._words)

    @property
    def _words(self) -> str:
        if self.card is not None:
            buttons = " ".join(f"[{option.label}]" for option in self.card.options)
            return f"{self._head}{self.card.title}: {self.text} {buttons}"
        files = f" + {', '.join(self.files)}" if self.files else ""
        return f"{self._head}{self.text}{files}"

    @property
    def _head(self) -> str:
        about = f" of {self.about}" if self.about else ""
        kind = "" if self.kind == "message" else f"{self.kind}{about}"
        dropped = f"dropped: {self.dropped}" if self.dropped else ""
        what = ", ".join(filter(None, (kind, dropped)))
        thread = f" [{self.thread}]" if self.thread else ""
        return f"{self.at:%Y-%m-%d %H:%M:%S}{thread} {self.who}{f' ({what})' if what else ''}: "


Wanted = str | re.Pattern[str] | Callable[[Entry], bool]
"""An expected text, a pattern to find, or a function that decides."""


def meets(entry: Entry, wanted: Wanted) -> bool:
    """Return whether an entry meets an expectation."""
    if isinstance(wanted, str):
        return entry.text == wanted
    if isinstance(wanted, re.Pattern):
        return wanted.search(entry.text) is not None
    return wanted(entry)


def words(wanted: Wanted) -> str:
    """Describe an expectation for people."""
    if isinstance(wanted, str):
        return repr(wanted)
    return f"/{wanted.pattern}/" if isinstance(wanted, re.Pattern) else f"what {wanted!r} accepts"


@define(eq=False)
class Transcript:
    """The transcript of one chat, with all its threads."""

    entries: list[Entry] = Factory(list)
    answered: set[str] = Factory(set)
    """The questions whose answer was a click of a user."""
    changed: trio.Event = Factory(trio.Event)

    def add(self, entry: Entry) -> None:
        """Add an entry, and wake the waiting expectations."""
        self.entries.append(entry)
        self.changed.set()
        self.changed = trio.Event()

    def drop(self, entry: Entry, reason: str) -> None:
        """Record that the host dropped an entry."""
        at = next(n for n in reversed(range(len(self.entries))) if self.entries[n] is entry)
        self.entries[at] = evolve(entry, dropped=reason)

    def waits(self, entry: Entry) -> bool:
        """Return whether an entry is a card that no user has answered."""
        return entry.card is not None and entry.card.question_id not in self.answered


def heard(outgoing: Outgoing, at: datetime, who: str, id_: str | None) -> Entry:
    """Return an entry for a message that the host sent to the network."""
    kind, text, about = _told(outgoing.content)
    return Entry(
        at,
        who,
        text,
        kind,
        from_agent=True,
        id=id_,
        about=about or outgoing.in_reply_to,
        thread=outgoing.address.thread_id,
        files={file.name: file.data for file in outgoing.files},
        card=_card(outgoing.content),
    )


def _unmarked(label: str) -> str:
    return label[len(MARKS[0]) :] if label.startswith(MARKS) else label


def _card(content: OutgoingContent) -> QuestionContent | None:
    match content:
        case QuestionContent():
            return content
        case CardEditContent():
            return content.question
        case _:
            return None


def _told(content: OutgoingContent) -> tuple[Kind, str, str | None]:
    match content:
        case TextContent():
            return "message", content.text, None
        case EditContent():
            return "edit", content.text, content.message_id
        case ReactionContent():
            return "reaction", content.emoji, content.message_id
        case QuestionContent():
            return "card", content.text, None
        case CardEditContent():
            return "edit", content.question.text, content.message_id
        case CardContent():
            return "card", content.fallback_text, None


def attached(files: Mapping[str, bytes]) -> tuple[Attachment, ...]:
    """Return files in the form in which a channel offers them."""
    return tuple(Attachment("file", name, data=b64encode(data).decode()) for name, data in files.items())
