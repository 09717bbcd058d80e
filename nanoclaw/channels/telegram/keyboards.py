"""Buttons of cards. Telegram limits the data of a button to 64 bytes: hashes of the question and the value.

The channel's state has the rest, for as long as the question is open. Data that it does not know is refused:
a program of a user may send any.
"""

import json
from hashlib import blake2b

from attrs import define
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.records import NotAccepted, Option, QuestionContent

GRACE_S = 3600.0
"""Seconds for which a question is known after it has expired, so that the host can say so."""
ROW_UNITS, ROW_BUTTONS = 28, 4
"""Limits of one row of buttons, so that labels are read on a telephone."""


@define(eq=False)
class Keyboards:
    """The buttons of all open questions."""

    state: ChannelState

    async def made(self, question: QuestionContent) -> InlineKeyboardMarkup | None:
        """Return the buttons of a question, after their meaning is stored. None: it has no options.

        Raises:
            ChannelUnavailable: it cannot be stored now.
        """
        if not question.options:
            return None
        meaning = json.dumps([question.question_id, [option.value for option in question.options]])
        try:
            await self.state.set(_key(question.question_id), meaning, ttl_s=question.expires_s + GRACE_S)
        except StateError as error:
            raise ChannelUnavailable(f"the buttons cannot be stored: {error}") from error
        return InlineKeyboardMarkup(_rows(question))

    async def chosen(self, data: str) -> tuple[str, str] | None:
        """Return the question and the value of a button that was pressed, or None if it is unknown.

        Raises:
            NotAccepted: the state cannot be read now.
        """
        token, _, hashed = data.partition(":")
        try:
            stored = await self.state.get(f"q/{token}") if token else None
        except StateError as error:
            raise NotAccepted(f"the meaning of a button cannot be read: {error}") from error
        question, values = json.loads(stored) if stored else ("", ())
        return next(((question, value) for value in values if _hash(value, 9) == hashed), None)


def _rows(question: QuestionContent) -> list[list[InlineKeyboardButton]]:
    rows, width = list[list[InlineKeyboardButton]](), 0
    for option in question.options:
        width += len(option.label)
        if not rows or width > ROW_UNITS or len(rows[-1]) == ROW_BUTTONS:
            rows.append([])
            width = len(option.label)
        rows[-1].append(_button(question.question_id, option))
    return rows


def _button(question_id: str, option: Option) -> InlineKeyboardButton:
    data = f"{_hash(question_id, 15)}:{_hash(option.value, 9)}"
    return InlineKeyboardButton(option.label, callback_data=data)


def _key(question_id: str) -> str:
    return f"q/{_hash(question_id, 15)}"


def _hash(text: str, size: int) -> str:
    """Return a hash as text, with two characters for each byte."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
