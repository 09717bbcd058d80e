"""What people and programs of a workload do beside messages: delete, react, and call webhooks."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal

from attrs import frozen

from nanoclaw.records import Address, Deleted, Event, Reacted, Webhook
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.testing.world.timeline import Timeline

DELETED, DELETED_S = 0.04, 60.0
"""The share of messages that are deleted later, and the average delay."""
REACTIONS_PER_HOUR, CALLS_PER_HOUR = 1.0, 0.2
"""Average reactions an hour in each conversation, and webhooks an hour in each chat."""
BY_A_VISITOR = 0.3
"""The share of reactions and deletions by somebody who may have no right."""
UNNAMED = 0.2
"""The share of deletions of which the network does not say whose they are."""
EMOJI = ("👍", "🎉", "no")


@frozen
class OtherEvent:
    """A deletion, a reaction or a webhook."""

    at: float
    verb: Literal["delete", "react", "call"]
    chat: str
    thread: str | None
    user: str
    """The user who does it. Empty: nobody in particular."""
    number: int
    """Unique among the events of its kind. It draws the message that a reaction is to."""
    about: str = ""
    """The text of the message that is deleted."""

    def __str__(self) -> str:
        where = f"{self.chat}/{self.thread}" if self.thread else self.chat
        return f"{self.user or 'somebody'} {self.verb}s in {where}: {self.about or self.number}"


@frozen
class Said:
    """A message that may be deleted."""

    at: float
    user: str
    chat: str
    thread: str | None
    text: str


def draw_deletions(random: Random, said: Sequence[Said], visitors: Sequence[str]) -> Iterator[OtherEvent]:
    """Yield deletions of some messages, by their authors, by others, and by nobody in particular."""
    for n, one in enumerate(said):
        if random.random() < DELETED:
            by_author = random.random() >= BY_A_VISITOR
            user = one.user if by_author else random.choice(visitors)
            at = one.at + random.expovariate(1 / DELETED_S)
            who = "" if random.random() < UNNAMED else user
            yield OtherEvent(at, "delete", one.chat, one.thread, who, n, one.text)


def draw_reactions(
    random: Random,
    places: Sequence[tuple[str, str | None]],
    people: Mapping[str, Sequence[str]],
    hours: float,
) -> Iterator[OtherEvent]:
    """Yield reactions in these chats and threads. `people` are those who may react, by chat."""
    number = 0
    for chat, thread in places:
        at = random.expovariate(REACTIONS_PER_HOUR)
        while at < hours:
            number += 1
            yield OtherEvent(at * 3600, "react", chat, thread, random.choice(people[chat]), number)
            at += random.expovariate(REACTIONS_PER_HOUR)


def draw_calls(random: Random, chats: Sequence[str], hours: float) -> Iterator[OtherEvent]:
    """Yield webhooks for these chats."""
    number = 0
    for chat in chats:
        at = random.expovariate(CALLS_PER_HOUR)
        while at < hours:
            number += 1
            yield OtherEvent(at * 3600, "call", chat, None, "", number)
            at += random.expovariate(CALLS_PER_HOUR)


@frozen
class OtherEvents:
    """Offers these events to the host."""

    network: FaultyNetwork
    timeline: Timeline
    addresses: Mapping[str, Address]
    """The addresses of the chats."""
    users: Mapping[str, str]
    """The ids of the users, by name."""

    async def offer(self, other: OtherEvent) -> None:
        """Offer the event, if there is a message that it can be about. Return when it is confirmed."""
        event = self._event(other)
        if event is None:
            return
        self.timeline.add("does", other.chat, other.verb, other.user, repr(other.about or other.number))
        routed = await self.network.offer(event)
        if routed.dropped is not None:
            self.timeline.add("dropped", other.chat, other.verb, routed.dropped)

    def _event(self, other: OtherEvent) -> Event | None:
        chat = self.addresses[other.chat]
        address = Address(chat.channel_type, chat.platform_id, other.thread)
        match other.verb:
            case "delete":
                target = self._message(address, other.about)
                user = self.users[other.user] if other.user else None
                return None if target is None else Deleted(address, target, user)
            case "react":
                sent = self._sent(address)
                if not sent:
                    return None
                target, user, id_ = sent[-(1 + other.number % min(3, len(sent)))], other.user, other.number
                emoji = EMOJI[id_ % len(EMOJI)]
                return Reacted(address, f"react-{id_}", target, emoji, user, self.users[user])
            case "call":
                payload = {"number": other.number}
                return Webhook(address, f"call-{other.number}", "works", "push", payload, is_group=True)

    def _message(self, address: Address, text: str) -> str | None:
        """Return the network's id of a message that the host has confirmed."""
        found = (one.event for one in self.network.accepted if one.event.message.text == text)
        return next((event.message.id for event in found if event.address == address), None)

    def _sent(self, address: Address) -> Sequence[str]:
        """Return the network's ids of the agents' messages in a chat or thread."""
        receipts = self.network.receipts()
        return [receipts[one.message_out_id][0] for one in self.network.sent if one.address == address]
