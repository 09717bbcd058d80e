"""An offer that is cut off: the channel removes its files only when the host is done with them."""

from pathlib import Path

import pytest
import trio
from attrs import Factory, define, evolve
from trio.testing import wait_all_tasks_blocked

from nanoclaw.channels.finishing import FINISH_S, finished
from nanoclaw.channels.handover import Handover
from nanoclaw.records import Address, Attachment, ChatMessage, Event, InboundEvent, NotAccepted, Routed

MESSAGE = ChatMessage("1", "look", "Ann", "fake:ann", (Attachment("image", "a.jpg", path=Path("/a.jpg")),))
WITH_FILE = InboundEvent(Address("fake", "chat"), "1", MESSAGE)
WITHOUT = evolve(WITH_FILE, message=evolve(MESSAGE, attachments=()))


@define(eq=False)
class SlowIntake:
    """Takes an event when it is let."""

    begun: trio.Event = Factory(trio.Event)
    let: trio.Event = Factory(trio.Event)
    taken: list[Event] = Factory(list)

    async def offer(self, event: Event) -> Routed:
        self.begun.set()
        await self.let.wait()
        self.taken.append(event)
        return Routed(("sess-1",))


@define(eq=False)
class Offering:
    """A channel's task that offers one event over a handover, and ends."""

    handover: Handover
    event: InboundEvent
    scope: trio.CancelScope = Factory(trio.CancelScope)
    ended: trio.Event = Factory(trio.Event)

    async def run(self) -> None:
        with self.scope:
            await self.handover.offer(self.event)
        self.ended.set()


@pytest.mark.parametrize(("event", "waits"), [(WITH_FILE, True), (WITHOUT, False)])
async def test_a_lost_connection_waits_for_the_host_that_copies_its_files(
    event: InboundEvent,
    waits: bool,  # noqa: FBT001 -- a row
    autojump_clock: object,  # noqa: ARG001 -- virtual time
) -> None:
    handover, intake = Handover(), SlowIntake()
    offering = Offering(handover, event)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handover.serve, intake)
        nursery.start_soon(offering.run)
        await intake.begun.wait()
        offering.scope.cancel()
        await wait_all_tasks_blocked()
        assert offering.ended.is_set() is not waits
        intake.let.set()
        await offering.ended.wait()
        await wait_all_tasks_blocked()
        assert intake.taken == [event]
        nursery.cancel_scope.cancel()


async def test_what_nobody_waits_for_any_more_is_not_offered(autojump_clock: object) -> None:  # noqa: ARG001 -- virtual time
    handover, intake = Handover(), SlowIntake()
    offering = Offering(handover, WITH_FILE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offering.run)
        await wait_all_tasks_blocked()
        offering.scope.cancel()
        await offering.ended.wait()
        nursery.start_soon(handover.serve, intake)
        await wait_all_tasks_blocked()
        assert not intake.begun.is_set()
        nursery.cancel_scope.cancel()


async def test_a_host_that_hangs_holds_nobody_for_ever(autojump_clock: object) -> None:  # noqa: ARG001 -- virtual time
    began = trio.current_time()
    with trio.move_on_after(1):
        await finished(trio.sleep_forever)
    assert trio.current_time() - began == pytest.approx(1 + FINISH_S)


async def test_an_error_of_the_host_is_raised_as_it_is() -> None:
    async def refuse() -> Routed:
        await trio.lowlevel.checkpoint()
        raise NotAccepted("the disk is full")

    with pytest.raises(NotAccepted, match="the disk is full"):
        await finished(refuse)
