"""What a session says of itself when it is asked: from memory, without waiting for anything."""

import trio

from nanoclaw.session.deliverer import Deliverer
from nanoclaw.session.keeper import Keeper
from nanoclaw.session.reconciler import Reconciler
from nanoclaw.status import DeliveryReport, RunnerReport, SessionDetails

FULL = "so much waits to be delivered that nothing more is read until some of it is"
OUTDATED = "outbound.db is empty or another build's; its runner has to bring it up to date"


def describe(reconciler: Reconciler, polled: str | None) -> SessionDetails:
    """The state of a session; `polled`: why its directory is not watched."""
    refusals = reconciler.deliverer.refusals
    return SessionDetails(
        runner=_runner(reconciler.keeper),
        pending=len(reconciler.pending.messages),
        working_on=len(reconciler.pending.claimed),
        deliveries=reconciler.deliverer.waiting,
        oldest_delivery=_oldest(reconciler.deliverer),
        quarantined=reconciler.quarantined,
        unreadable=_unreadable(reconciler),
        refused=refusals.count,
        last_refused=refusals.last,
        ignored=reconciler.ignored,
        polled=polled,
    )


def _unreadable(reconciler: Reconciler) -> str | None:
    if reconciler.unreadable is not None:
        return reconciler.unreadable
    if reconciler.outdated:
        return OUTDATED
    return None if reconciler.deliverer.queue.room else FULL


def _runner(keeper: Keeper) -> RunnerReport:
    held_up_s = keeper.not_before - trio.current_time()
    return RunnerReport(
        state="stopping" if keeper.state == "running" and keeper.stopping else keeper.state,
        failures=keeper.failures,
        last_failure=keeper.last_failure,
        next_start_in_s=held_up_s if held_up_s > 0 else None,
    )


def _oldest(deliverer: Deliverer) -> DeliveryReport | None:
    oldest = deliverer.queue.oldest()
    if oldest is None:
        return None
    in_flight = oldest is deliverer.queue.in_flight
    due = None if in_flight else oldest.due()
    return DeliveryReport(oldest.id, oldest.attempts, in_flight, oldest.reason, due)
