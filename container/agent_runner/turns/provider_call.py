"""Asks the provider for the result of a turn, and checks it. Other people write providers."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from agent_runner import session_state
from agent_runner.background import background
from agent_runner.errors import ProviderError, ProviderFatal, RunnerError, UnstorableError
from agent_runner.foreign import describe, foreign_code
from agent_runner.heartbeat import Activity
from agent_runner.providers import Toolbox, TurnHandler
from agent_runner.providers.variables import with_advice
from agent_runner.records import Reply, Result, Turn
from agent_runner.session import Session
from agent_runner.turns.endings import stopped
from agent_runner.turns.outcome import ClaimedTurn, Ending
from agent_runner.turns.stopping import StopWatch

T = TypeVar("T")


async def supervise(
    session: Session, claimed: ClaimedTurn, activity: Activity, work: Callable[[], Awaitable[T]]
) -> T | ProviderError | Ending:
    """Return the result of `work`, or the ending of a turn that was silent for too long or stopped.

    The heartbeat runs meanwhile.
    """
    watch = StopWatch(session)
    with session.heartbeat.watchdog(activity):
        with watch.scope:
            async with background(watch.run):
                return await work()
        if watch.stopped_by is not None:
            session.seams.log("turn.stopped", turn=claimed.turn.turn_id, by=watch.stopped_by.id)
            return stopped(claimed, watch.stopped_by)
    return ProviderError(f"the provider was silent for {session.config.silence_limit:.0f} s")


async def ask(session: Session, handler: TurnHandler, turn: Turn, tools: Toolbox) -> Result | ProviderError:
    """Return the provider's result, or its error. Raises RunnerError if a database failed."""
    try:
        with foreign_code(ProviderError, RunnerError, Exception):
            result = await handler.run(turn, tools)
        return await checked(session, result)
    except ProviderError as error:
        return _storable(error)
    except Exception as error:
        # The database may have failed under a tool. That is not the provider's failure.
        if session.outbound.broken:
            raise
        return ProviderError(with_advice(describe(error)))


def _storable(error: ProviderError) -> ProviderError:
    """Return a provider's error with values that can be committed."""
    reason, retry_at = str(error.reason), error.retry_at
    if isinstance(error, ProviderFatal):
        return ProviderFatal(with_advice(reason), for_user=str(error.for_user))
    is_time = isinstance(retry_at, datetime) and retry_at.tzinfo is not None
    return ProviderError(with_advice(reason), retry_at if is_time else None)


async def checked(session: Session, result: object) -> Result:
    """Return a result that can be committed. Raises ProviderError."""
    if not isinstance(result, Result):
        raise ProviderError(f"the provider returned {_kind(result)}, not a Result")
    replies: Sequence[object] = result.replies
    for reply in replies:
        text: object = reply.text if isinstance(reply, Reply) else reply
        if not isinstance(reply, Reply) or not isinstance(text, str):
            raise ProviderError(f"the provider replied with {_kind(text)}, not text")
        if not isinstance(reply.to, str | None):
            raise ProviderError(f"the provider named a destination by {_kind(reply.to)}, not text")
    if result.state:
        await _check_state(session, result)
    return result


async def _check_state(session: Session, result: Result) -> None:
    try:
        session_state.checked(result.state)
    except UnstorableError as error:
        raise ProviderError(f"the state of the result: {error}") from error
    problem = await session.outbound.read(
        lambda connection: session_state.lack_of_room(connection, result.state)
    )
    if problem is not None:
        raise ProviderError(f"the state of the result: {problem}")


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
