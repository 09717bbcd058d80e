"""Supervision of this host: all supervisors log their events and share one deadline for stopping."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Literal

import structlog
import trio
from attrs import frozen

from actors import Buried, Context, Crash, Event, Policy, Refusal, Refused, Supervisor, open_supervisor

STOP_WITHIN_S = 10.0
"""Seconds after which a stop is cancelled."""

_log = structlog.get_logger()


@frozen
class Supervision:
    """The settings that all supervisors of a host share."""

    random: Random

    def open(
        self,
        name: str,
        *,
        under: Supervisor | None,
        policy: Policy,
        order: Literal["reverse", "together"] = "reverse",
    ) -> AbstractAsyncContextManager[Supervisor]:
        """Open a supervisor, shown below `under` in the live tree."""
        return open_supervisor(
            name,
            under=under,
            policy=policy,
            order=order,
            random=self.random,
            observer=report,
            stop_within=STOP_WITHIN_S,
        )


@frozen
class Background:
    """An actor that takes no messages."""


def background(
    run: Callable[[], Awaitable[object]],
) -> Callable[[Context[Background]], AbstractAsyncContextManager[Background]]:
    """Return the recipe of an actor that only runs a task."""

    @asynccontextmanager
    async def recipe(_context: Context[Background]) -> AsyncIterator[Background]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield Background()
            nursery.cancel_scope.cancel()

    return recipe


def report(event: Event) -> None:
    """Log an event of supervision."""
    match event:
        case Crash():
            _report_crash(event)
        case Buried():
            _log.error(
                "actor.buried", actor=event.actor, reason=str(event.cause), retry_after_s=event.retry_after
            )
        case Refused():
            _log.warning("actor.refused", actor=event.actor, reason=str(event.refusal))
        case _:
            _log.debug(f"actor.{type(event).__name__.lower()}", actor=event.actor)


def _report_crash(crash: Crash) -> None:
    """Log a traceback for a bug, and one sentence for a failure of the environment."""
    again = crash.will_restart_in
    if not isinstance(crash.cause, Refusal):
        _log.error("actor.crashed", actor=crash.actor, exc_info=crash.cause, will_restart_in_s=again)
    elif again is not None:
        _log.error("actor.crashed", actor=crash.actor, reason=str(crash.cause), will_restart_in_s=again)
    else:
        # The burial or the end of the host is logged as an error.
        _log.debug("actor.crashed", actor=crash.actor, reason=str(crash.cause))
