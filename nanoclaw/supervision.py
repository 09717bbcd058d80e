"""How this host supervises: every supervisor reports to the log, and all stop by the same deadline."""

from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Literal

import structlog
from attrs import frozen

from actors import Buried, Crash, Event, Policy, Refusal, Refused, Supervisor, open_supervisor

STOP_WITHIN_S = 10.0
"""A stop that takes longer is cut short."""

_log = structlog.get_logger()


@frozen
class Supervision:
    """What all supervisors of a host have in common."""

    random: Random

    def open(
        self,
        name: str,
        *,
        under: Supervisor | None,
        policy: Policy,
        order: Literal["reverse", "together"] = "reverse",
    ) -> AbstractAsyncContextManager[Supervisor]:
        """A supervisor, shown below another one in the live tree."""
        return open_supervisor(
            name,
            under=under,
            policy=policy,
            order=order,
            random=self.random,
            observer=report,
            stop_within=STOP_WITHIN_S,
        )


def report(event: Event) -> None:
    """What supervision tells, as log events."""
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
    """A traceback where we have made a mistake; where the world has, its sentence, once."""
    again = crash.will_restart_in
    if not isinstance(crash.cause, Refusal):
        _log.error("actor.crashed", actor=crash.actor, exc_info=crash.cause, will_restart_in_s=again)
    elif again is not None:
        _log.error("actor.crashed", actor=crash.actor, reason=str(crash.cause), will_restart_in_s=again)
    else:
        _log.debug(
            "actor.crashed", actor=crash.actor, reason=str(crash.cause)
        )  # its burial or the host's end says it
