"""A channel of a recording: offers the same events at the same moments, and gives the same answers."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.protocol import (
    Capabilities,
    ChannelUnavailable,
    DeliveryRejected,
    Outcome,
    Sender,
    Unattended,
)
from nanoclaw.recording.channels import asked, event_of, searched
from nanoclaw.recording.notes import Answered, Asked, Offered
from nanoclaw.records import Address, Intake, NotAccepted, Outgoing, Receipt, Routed
from nanoclaw.testing.replay.script import ChannelScript, Moments, Script
from nanoclaw.testing.world.timeline import Timeline

UNKNOWN_S = 0.05
"""Duration in seconds of a delivery that is not in the recording."""


class Broke(Exception):
    """The error of a broken channel, with the recorded text."""


@define(eq=False)
class Happened:
    """The results of a replay, to be compared with the recording."""

    asked: list[tuple[float, Asked]] = Factory(list)
    routed: dict[int, Routed | str] = Factory(dict)
    """The result of each event; a text if the event was not accepted."""


@define(eq=False)
class Answers:
    """The recorded answers for each message: the n-th attempt gets the n-th answer."""

    script: Script
    _recorded: dict[tuple[str, str, bool], list[Answered | None]] = field(init=False)
    _used: Counter[tuple[str, str, bool]] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self._recorded = {}
        for _, note in self.script.asked:
            self._recorded.setdefault(_place(note), []).append(self.script.answers.get(note.n))

    def to(self, note: Asked) -> tuple[bool, Answered | None]:
        """Return whether the recording has the request, and its answer, if there was one."""
        place = _place(note)
        n, recorded = self._used[place], self._recorded.get(place, [])
        self._used[place] += 1
        return n < len(recorded), recorded[n] if n < len(recorded) else None


def _place(note: Asked) -> tuple[str, str, bool]:
    """Return the key of a row without the slot, which may differ in a replay."""
    return note.channel, note.key.partition("@")[0], note.lookup


@define(eq=False)
class ReplayChannel:
    """A channel that replays its recording."""

    channel_type: str
    capabilities: Capabilities
    script: ChannelScript
    answers: Answers
    happened: Happened
    moments: Moments
    timeline: Timeline
    _intake: list[Intake] = field(factory=list, init=False)
    _receiving: trio.Event = field(factory=trio.Event, init=False)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Connect as recorded."""
        connection = self.script.connections.popleft() if self.script.connections else None
        if connection is None:
            yield _ReplaySender(self)
            return
        await self.moments.sleep_until(connection.at)
        if connection.failed is not None:
            raise Broke(connection.failed)
        async with trio.open_nursery() as nursery:
            if connection.broken is not None:
                nursery.start_soon(self._break, *connection.broken)
            yield _ReplaySender(self)
            nursery.cancel_scope.cancel()

    async def _break(self, at: float, reason: str) -> None:
        await self.moments.sleep_until(at)
        raise Broke(reason)

    async def receive(self, intake: Intake) -> None:
        """End or break as recorded. The offers run beside it, because a replay may reopen it later."""
        self._intake.append(intake)
        self._receiving.set()
        if not self.script.ends:
            await trio.sleep_forever()
        at, reason = self.script.ends.popleft()
        await self.moments.sleep_until(at)
        if reason is not None:
            raise Broke(reason)

    async def offer(self) -> None:
        """Make the recorded offers. Run this beside the host."""
        await self._receiving.wait()
        await offer_all(self.script, self._intake[0], self.happened, self.moments, self.timeline)

    async def answer(self, outgoing: Outgoing, *, lookup: bool) -> Receipt | None:
        """Answer as recorded."""
        return await self._answer(asked(0, self.channel_type, outgoing, lookup=lookup))

    async def search(self, user_id: str) -> Address:
        """Answer as recorded, with the direct chat of a user."""
        found = await self._answer(searched(0, self.channel_type, user_id))
        return Address(self.channel_type, (found and found.platform_message_id) or user_id)

    async def _answer(self, note: Asked) -> Receipt | None:
        self.happened.asked.append((self.moments.now(), note))
        known, answer = self.answers.to(note)
        verb = "looked for" if note.lookup else "asked"
        self.timeline.add(verb, note.key, where(note.address), *([] if known else ["not in the recording"]))
        if answer is None and known:
            await trio.sleep_forever()
        if answer is None:
            await trio.sleep(UNKNOWN_S)
            return Receipt(None)
        return await self._as(answer)

    async def _as(self, answer: Answered) -> Receipt | None:
        if answer.answer == "given up":
            await trio.sleep_forever()
        await trio.sleep(answer.took_s)
        self.timeline.add("answered", answer.answer, answer.platform_message_id or answer.reason)
        match answer.answer:
            case "receipt":
                return Receipt(answer.platform_message_id)
            case "nothing":
                return None
            case "rejected":
                raise DeliveryRejected(answer.reason)
            case "unattended":
                raise Unattended(answer.reason)
            case "unavailable":
                raise ChannelUnavailable(answer.reason, answer.retry_after)
            case _:
                raise Broke(answer.reason)


def where(address: Address) -> str:
    """Return an address as one line."""
    parts = (address.channel_type, address.platform_id, address.thread_id)
    return ":".join(part for part in parts if part is not None)


async def offer_all(
    script: ChannelScript, intake: Intake, happened: Happened, moments: Moments, timeline: Timeline
) -> None:
    """Offer a script's events at their moments, each in its own task. Events not yet offered stay in it."""
    async with trio.open_nursery() as nursery:
        while script.offers:
            await moments.sleep_until(script.offers[0][0])
            _, offered = script.offers.popleft()
            timeline.add("offered", offered.n, where(offered.event.address), offered.event.event_id)
            nursery.start_soon(_offer, offered, intake, happened)


async def _offer(offered: Offered, intake: Intake, happened: Happened) -> None:
    try:
        happened.routed[offered.n] = await intake.offer(event_of(offered))
    except NotAccepted as error:
        happened.routed[offered.n] = str(error)


@frozen
class _ReplaySender:
    """The sending half, while it is connected."""

    channel: ReplayChannel

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Answer as recorded."""
        return await self.channel.answer(outgoing, lookup=False) or Receipt(None)

    async def open_dm(self, user_id: str) -> Address:
        """Answer as recorded."""
        return await self.channel.search(user_id)

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Answer as recorded."""
        return await self.channel.answer(outgoing, lookup=True)

    async def typing(self, _address: Address) -> None:
        """Hints are not recorded."""
        await trio.lowlevel.checkpoint()

    async def settled(self, _address: Address, _platform_message_id: str, _outcome: Outcome) -> None:
        """Hints are not recorded."""
        await trio.lowlevel.checkpoint()

    async def draft(self, _address: Address, _text: str) -> None:
        """Hints are not recorded."""
        await trio.lowlevel.checkpoint()
