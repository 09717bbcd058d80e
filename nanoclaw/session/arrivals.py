"""Makes the rows of arriving messages, and stores their files in the session's inbox."""

from datetime import datetime
from functools import partial
from pathlib import Path

import structlog
from attrs import evolve, frozen

from nanoclaw.records import (
    Answer,
    Attachment,
    ChatMessage,
    Deleted,
    ParkedEvent,
    Reacted,
    Remark,
    Said,
    SdkMessage,
    Webhook,
)
from nanoclaw.records.content import (
    BadContent,
    Parkable,
    dump_answer,
    dump_chat,
    dump_remark,
    dump_sdk,
    dump_webhook,
    load_parked,
)
from nanoclaw.records.inbound import row_id
from nanoclaw.store import Executor
from nanoclaw.store.session.attached_files import with_lost_files
from nanoclaw.store.session.inbox import store_attachments
from nanoclaw.store.session.messages_in import NewMessage, Target
from nanoclaw.system.clock import Clock

_log = structlog.get_logger()


@frozen
class Arrivals:
    """Makes the rows of one session."""

    inbox: Path
    executor: Executor
    clock: Clock
    data: Path
    """The folder of the files of events that waited."""

    async def row(self, event: Parkable, *, trigger: bool) -> NewMessage:
        """Return the row of an event or answer. Its files are stored then."""
        match event:
            case Answer(said=said):
                row = await self.row(said, trigger=True) if said else None
                return evolve(answer_row(event, self.clock.now()), said=row)
            case Deleted() | Reacted():
                return remark_row(event, self.clock.now())
            case Webhook():
                return webhook_row(event, self.clock.now(), trigger=trigger)
            case _:
                return await self._said(event, trigger=trigger)

    async def _said(self, event: Said, *, trigger: bool) -> NewMessage:
        chat = event.message
        if has_files(event):
            files, text = await self.store_files(event.message_id, chat.attachments, chat.text)
            chat = evolve(chat, attachments=files, text=text)
        return NewMessage(
            id=event.message_id,
            kind="chat-sdk" if isinstance(event, SdkMessage) else "chat",
            timestamp=self.clock.now(),
            address=event.address,
            content=dump_sdk(event, chat) if isinstance(event, SdkMessage) else dump_chat(chat),
            trigger=trigger,
            platform_message_id=chat.id,
            target=_edited(event, chat, trigger=trigger) if event.version else None,
        )

    async def store_files(
        self, message_id: str, attachments: tuple[Attachment, ...], text: str
    ) -> tuple[tuple[Attachment, ...], str]:
        """Store a message's files. Return them, and its text with a line about each file that is lost."""
        if not any(each.has_content for each in attachments):
            return attachments, text
        store = partial(store_attachments, self.inbox, message_id, attachments, base=self.data)
        files, lost = await self.executor.run(store)
        for each in lost:
            _log.warning("session.file_lost", message=message_id, file=each.name, reason=each.reason)
        return files, with_lost_files(text, lost) if lost else text


def has_files(event: Parkable) -> bool:
    """Return whether the event brings files that must be stored."""
    said = event.said if isinstance(event, Answer) else event
    return isinstance(said, Said) and any(each.has_content for each in said.message.attachments)


def _edited(event: Said, chat: ChatMessage, *, trigger: bool) -> Target:
    """Return the message that an edit changes. An edit that wakes no agent is stored only beside it."""
    rows = (row_id(event.address, event.event_id, ""),)
    return Target("editOf", event.address, chat.id, rows, required=not trigger)


def remark_row(remark: Remark, now: datetime) -> NewMessage:
    """Return the row of a deletion or a reaction. It is context, and stored only where its message is."""
    own = isinstance(remark, Reacted)
    rows = () if own else (row_id(remark.address, remark.target, ""),)
    return NewMessage(
        id=remark.message_id,
        kind="system",
        timestamp=now,
        address=remark.address,
        content=dump_remark(remark),
        trigger=False,
        target=Target("messageId", remark.address, remark.target, rows, own),
    )


def webhook_row(webhook: Webhook, now: datetime, *, trigger: bool) -> NewMessage:
    """Return the row of a webhook."""
    return NewMessage(
        id=webhook.message_id,
        kind="webhook",
        timestamp=now,
        address=webhook.address,
        content=dump_webhook(webhook),
        trigger=trigger,
    )


def answer_row(answer: Answer, now: datetime) -> NewMessage:
    """Return the row of an answer, without the message that made the choice."""
    return NewMessage(
        id=answer.message_id,
        kind="system",
        timestamp=now,
        address=answer.address,
        content=dump_answer(answer),
        trigger=not answer.withdrawn,
        platform_message_id=answer.said.event_id if answer.said else None,
    )


def loaded(parked: ParkedEvent) -> tuple[Parkable, bool] | None:
    """Return a parked event and its `trigger`, or None if it cannot be read. It stays parked then."""
    try:
        return load_parked(parked.event)
    except BadContent as error:
        _log.error("session.parked_event_damaged", parked=parked.id, reason=str(error))
        return None
