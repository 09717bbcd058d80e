"""Buttons of cards. What a press means is in the button's id, or, if it is too long, in the state."""

import json
from collections.abc import Sequence
from hashlib import blake2b

from attrs import define

from nanoclaw.channels.cards import shortened
from nanoclaw.channels.discord.values import Button
from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import QuestionContent

LONGEST_ID = 100
"""Limit of a button's id in characters."""
LONGEST_LABEL = 80
MOST_BUTTONS = 25
AFTER_S = 86_400.0
"""Seconds for which a long button is known after its question has expired."""


@define(eq=False)
class Buttons:
    """The buttons of a channel's cards."""

    state: ChannelState | None

    async def of(self, question: QuestionContent) -> Sequence[Button]:
        """Return the buttons of a card.

        Raises:
            DeliveryRejected: it has more than Discord shows.
        """
        if len(question.options) > MOST_BUTTONS:
            raise DeliveryRejected(
                f"Discord shows at most {MOST_BUTTONS} buttons, and this card needs {len(question.options)}"
            )
        return [
            Button(shortened(option.label, LONGEST_LABEL), await self._id(question, option.value))
            for option in question.options
        ]

    async def _id(self, question: QuestionContent, value: str) -> str:
        direct = f"v:{len(question.question_id)}:{question.question_id}{value}"
        if len(direct) <= LONGEST_ID or self.state is None:
            return direct[:LONGEST_ID]
        meaning = json.dumps([question.question_id, value])
        token = f"s:{blake2b(meaning.encode(errors='replace'), digest_size=16).hexdigest()}"
        await self.state.set(f"button:{token}", meaning, ttl_s=question.expires_s + AFTER_S)
        return token

    async def meaning(self, custom_id: str) -> tuple[str, str] | None:
        """Return the question and the value of a button, or None if it is not known."""
        kind, _, rest = custom_id.partition(":")
        if kind == "s" and self.state is not None and len(custom_id) <= LONGEST_ID:
            found = await self.state.get(f"button:{custom_id}")
            return tuple(json.loads(found)) if found else None
        length, _, text = rest.partition(":")
        if kind != "v" or not length.isascii() or not length.isdigit() or len(length) > 3:  # noqa: PLR2004 -- 100
            return None
        return (text[: int(length)], text[int(length) :]) if text[int(length) :] else None
