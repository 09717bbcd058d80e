"""Answers presses of buttons, and the commands `/ask` and `/help`, within the three seconds of Discord."""

from functools import partial
from typing import Any

import structlog
import trio
from attrs import define
from outcome import acapture

from nanoclaw.channels.discord.buttons import Buttons
from nanoclaw.channels.discord.dialect import escaped
from nanoclaw.channels.discord.directory import Directory
from nanoclaw.channels.discord.incoming import Network
from nanoclaw.channels.discord.receiving import Place, asked, click_event, command_event, interaction_in
from nanoclaw.channels.discord.wire import COMMAND, PRESS, Interaction
from nanoclaw.channels.handover import Handover
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.records import Event, Routed

DEFER_S = 2.0
"""Seconds after which an interaction is answered for the time being. Discord gives up after three."""
MESSAGE, LATER, UNCHANGED = 4, 5, 6
"""The kinds of answers: a message, a message that comes later, and nothing to see."""
ONLY_FOR_USER = 64
LONGEST_ECHO = 1_500

COMMANDS = (
    {
        "name": "ask",
        "description": "Ask the assistant something",
        "type": 1,
        "options": [{"name": "text", "description": "The question", "type": 3, "required": True}],
    },
    {"name": "help", "description": "How to talk to the assistant", "type": 1},
)
"""The commands, as Discord registers them."""
HELP = "Write to me in a direct chat. In a server, mention me, answer one of my messages, or use /ask."
UNKNOWN = "This button is too old. Ask again."

_log = structlog.get_logger()


@define(eq=False)
class Interactions:
    """The interactions of one connection."""

    network: Network
    handover: Handover
    directory: Directory
    buttons: Buttons

    async def take(self, data: Any) -> None:
        """Answer one interaction. Raises NotAccepted, if the host does not have it, and Unreadable."""
        interaction = interaction_in(data)
        if interaction.channel_id is None:
            return
        if interaction.type == PRESS:
            await self._pressed(interaction, interaction.channel_id)
        elif interaction.type == COMMAND:
            await self._commanded(interaction, interaction.channel_id)

    async def _pressed(self, interaction: Interaction, chat: str) -> None:
        meaning = await self.buttons.meaning(interaction.data.custom_id if interaction.data else "")
        if meaning is None:
            await self._answer(interaction, UNKNOWN, private=True)
            return
        place = await self._place(chat, interaction)
        routed, deferred = await self._offer(
            interaction, click_event(interaction, place, *meaning), UNCHANGED
        )
        if routed.dropped is not None:
            await self._answer(interaction, routed.dropped, private=True, deferred=deferred)
        elif not deferred:
            await self._call_back(interaction, {"type": UNCHANGED})

    async def _commanded(self, interaction: Interaction, chat: str) -> None:
        if not interaction.data or interaction.data.name != "ask":
            await self._answer(interaction, HELP, private=True)
            return
        event = command_event(interaction, await self._place(chat, interaction))
        routed, deferred = await self._offer(interaction, event, LATER)
        echo = f"**{escaped(event.message.sender)}** asks: {escaped(asked(interaction)[:LONGEST_ECHO])}"
        private = routed.dropped is not None
        text = routed.dropped or echo
        if deferred:
            await self._replace(interaction, text)
        else:
            await self._answer(interaction, text, private=private)

    async def _offer(self, interaction: Interaction, event: Event, kind: int) -> tuple[Routed, bool]:
        """Offer an event. Return what the host says, and whether a first answer was given meanwhile."""
        done, deferred = trio.Event(), False

        async def defer() -> None:
            nonlocal deferred
            with trio.move_on_after(DEFER_S):
                await done.wait()
            if not done.is_set():
                deferred = await self._call_back(interaction, {"type": kind})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(defer)
            outcome = await acapture(self.handover.offer, event)
            done.set()
        return outcome.unwrap(), deferred

    async def _answer(
        self, interaction: Interaction, text: str, *, private: bool, deferred: bool = False
    ) -> None:
        data = {"content": text, "allowed_mentions": {"parse": []}, "flags": ONLY_FOR_USER if private else 0}
        if deferred:
            await self._try("POST", "/webhooks/{application_id}/{token}", interaction, data)
        else:
            await self._call_back(interaction, {"type": MESSAGE, "data": data})

    async def _replace(self, interaction: Interaction, text: str) -> None:
        data = {"content": text, "allowed_mentions": {"parse": []}}
        await self._try("PATCH", "/webhooks/{application_id}/{token}/messages/@original", interaction, data)

    async def _call_back(self, interaction: Interaction, answer: object) -> bool:
        return await self._try("POST", "/interactions/{interaction_id}/{token}/callback", interaction, answer)

    async def _try(self, method: str, path: str, interaction: Interaction, json: object) -> bool:
        """Answer. An error is logged: the user sees that there is no answer, and the host has the event."""
        try:
            await self.network.call(
                method,
                path,
                json=json,
                interaction_id=interaction.id,
                token=interaction.token,
                application_id=interaction.application_id,
            )
        except (ChannelUnavailable, DeliveryRejected) as error:
            _log.info("discord.interaction_unanswered", interaction=interaction.id, reason=str(error))
            return False
        return True

    async def _place(self, chat: str, interaction: Interaction) -> Place:
        return await self.directory.place(
            chat, partial(self.network.call, "GET"), in_guild=interaction.guild_id is not None
        )
