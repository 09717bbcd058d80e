"""Hands events from a channel's connection to its receiver.

The connection lives in the sender's context; the host calls `Channel.receive` in another actor. A network
that sends events over its connection offers them to a `Handover`, and its `receive` serves it:

    async def receive(self, intake: Intake) -> None:
        await self._handover.serve(intake)
"""

import structlog
import trio
from attrs import Factory, define, field
from outcome import Error, Outcome, Value

from nanoclaw.channels.finishing import FINISH_S, names_files
from nanoclaw.records import BadEvent, Event, Intake, NotAccepted, Routed

MOST_WAITING = 1_000
"""Limit of events that wait for the receiver. More of them wait in the tasks that offer them."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
"""Bounds of the pause before an event that was not accepted is offered again. It doubles."""

_log = structlog.get_logger()


@define(eq=False)
class _Request:
    event: Event
    done: trio.Event = Factory(trio.Event)
    outcome: Outcome[Routed] | None = None
    begun: bool = False
    """True once the receiver has offered it."""
    withdrawn: bool = False
    """True if nobody waits for the outcome any more."""

    def settle(self, outcome: Outcome[Routed]) -> None:
        self.outcome = outcome
        self.done.set()


@define(eq=False)
class Handover:
    """An `Intake` for the task that reads from the network. One receiver at a time serves it."""

    _send: trio.MemorySendChannel[_Request] = field(init=False)
    _receive: trio.MemoryReceiveChannel[_Request] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the queue. It needs no running trio and is never closed."""
        self._send, self._receive = trio.open_memory_channel[_Request](MOST_WAITING)

    async def offer(self, event: Event) -> Routed:
        """Have the receiver offer the event, and return what the host says. It waits for a receiver.

        Offer the events of one chat from one task, so that they keep their order.

        Raises:
            NotAccepted: the host does not have the event, or the receiver was stopped. Offer it again later.
            BadEvent: as `Intake.offer`.
        """
        request = _Request(event)
        try:
            await self._send.send(request)
            await request.done.wait()
        except trio.Cancelled:
            await _leave(request)
            raise
        assert request.outcome is not None  # noqa: S101 -- set before the event
        return request.outcome.unwrap()

    async def offer_until_accepted(self, event: Event) -> Routed | None:
        """Offer an event again, with growing pauses, until the host has it. Return what the host says.

        Return None for an event that the host will never take. It is logged.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self.offer(event)
            except NotAccepted as error:
                _log.warning(
                    "channel.event_waits",
                    channel=event.address.channel_type,
                    reason=str(error),
                    again_in_s=pause_s,
                )
            except BadEvent as error:
                _log.warning(
                    "channel.event_refused", channel=event.address.channel_type, reason=str(error)[:500]
                )
                return None
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def serve(self, intake: Intake) -> None:
        """Offer what is handed over to the host's intake until cancelled."""
        async with trio.open_nursery() as nursery:
            async for request in self._receive:
                if not request.withdrawn:
                    request.begun = True
                    nursery.start_soon(_offer, intake, request)


async def _leave(request: _Request) -> None:
    """Withdraw a request. One with files that the host is copying is finished first."""
    request.withdrawn = True
    if request.begun and not request.done.is_set() and names_files(request.event):
        with trio.move_on_after(FINISH_S, shield=True):
            await request.done.wait()


async def _offer(intake: Intake, request: _Request) -> None:
    try:
        outcome: Outcome[Routed] = Value(await intake.offer(request.event))
    except Exception as error:  # noqa: BLE001 -- it is raised where the event came from
        outcome = Error(error)
    except BaseException:
        request.settle(Error(NotAccepted("the receiver of the channel was stopped")))
        raise
    request.settle(outcome)
