"""Makes the rows of arriving messages, and stores their files in the session's inbox."""

from datetime import datetime
from functools import partial
from pathlib import Path

import structlog
from attrs import evolve, frozen

from nanoclaw.records import Answer, Attachment, InboundEvent, ParkedEvent
from nanoclaw.records.content import BadContent, dump_answer, dump_chat, load_parked
from nanoclaw.store import Executor
from nanoclaw.store.session.inbox import lost, store_attachments, with_lost_files
from nanoclaw.store.session.messages_in import NewMessage
from nanoclaw.system.clock import Clock

_log = structlog.get_logger()


@frozen
class Arrivals:
    """Makes the rows of one session."""

    inbox: Path
    executor: Executor
    clock: Clock

    async def row(self, event: InboundEvent | Answer, *, trigger: bool) -> NewMessage:
        """Return the row of an event or answer. Its files are stored then."""
        if isinstance(event, Answer):
            said = await self.row(event.said, trigger=True) if event.said else None
            return evolve(answer_row(event, self.clock.now()), said=said)
        chat = event.message
        if has_files(event):
            files, text = await self.store_files(event.message_id, chat.attachments, chat.text)
            chat = evolve(chat, attachments=files, text=text)
        return NewMessage(
            id=event.message_id,
            kind="chat",
            timestamp=self.clock.now(),
            address=event.address,
            content=dump_chat(chat),
            trigger=trigger,
            platform_message_id=chat.id,
        )

    async def store_files(
        self, message_id: str, attachments: tuple[Attachment, ...], text: str
    ) -> tuple[tuple[Attachment, ...], str]:
        """Store a message's files. Return them, and its text with a line about each file that is lost."""
        if not any(one.data is not None for one in attachments):
            return attachments, text
        files = await self.executor.run(partial(store_attachments, self.inbox, message_id, attachments))
        names = lost(attachments, files)
        if names:
            _log.warning("session.files_lost", message=message_id, files=names, reason="invalid base64")
        return files, with_lost_files(text, names) if names else text


def has_files(event: InboundEvent | Answer) -> bool:
    """Return whether the event brings files that must be stored."""
    return not isinstance(event, Answer) and any(one.data is not None for one in event.message.attachments)


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


def loaded(parked: ParkedEvent) -> tuple[InboundEvent | Answer, bool] | None:
    """Return a parked event and its `trigger`, or None if it cannot be read. It stays parked then."""
    try:
        return load_parked(parked.event)
    except BadContent as error:
        _log.error("session.parked_event_damaged", parked=parked.id, reason=str(error))
        return None
