"""One turn: claim, provider, outcome (contract 4, Status)."""

from collections.abc import Sequence
from datetime import datetime

from agent_runner import outbound, session_state
from agent_runner.errors import ProviderError, RunnerError, UnstorableError
from agent_runner.foreign import describe, foreign_code
from agent_runner.heartbeat import Activity
from agent_runner.inbound import Fetched
from agent_runner.open_provider import OpenProvider
from agent_runner.polling import fetch
from agent_runner.providers.variables import with_advice
from agent_runner.records import Claim, Reply, Result, Sent, Turn
from agent_runner.selection import Batch
from agent_runner.session import Session
from agent_runner.tools.base import ToolContext
from agent_runner.tools.toolbox import TurnToolbox
from agent_runner.turn_outcome import ClaimedTurn, commit_outcome
from agent_runner.turn_state import TurnState


async def take_turn(session: Session, provider: OpenProvider, batch: Batch) -> None:
    """Take the rows of a batch through the provider.

    Raises InboundUnavailableError before anything is claimed; StoreBusyError, DatabaseError any time.
    """
    fetched = await fetch(session, batch.ids)
    if fetched.messages:
        claimed = await _claim(session, batch, fetched)
        session.drafts.begin(claimed.turn)
        await commit_outcome(session, claimed, await _ask(session, provider, claimed))
        session.drafts.end()


async def _claim(session: Session, batch: Batch, fetched: Fetched) -> ClaimedTurn:
    claims = tuple(Claim(row.id, row.tries) for row in (*fetched.messages, *fetched.context))
    turn_id = session.seams.new_id("turn")
    now = session.seams.clock.now()
    sent = await session.outbound.write(lambda connection: outbound.claim(connection, claims, now, turn_id))
    session.seams.log(
        "turn.started", turn=turn_id, messages=len(fetched.messages), context=len(fetched.context)
    )
    state = TurnState({claim.id for claim in batch.omitted})
    return ClaimedTurn(_turn(session, batch, fetched, turn_id, sent), claims, batch.omitted, fetched, state)


def _turn(session: Session, batch: Batch, fetched: Fetched, turn_id: str, sent: Sequence[Sent]) -> Turn:
    return Turn(
        turn_id,
        fetched.messages,
        fetched.context,
        tuple(sent),
        context_omitted=len(batch.omitted),
        assistant_name=session.config.assistant_name,
        agent_group_id=session.config.agent_group_id,
        agent_group_name=session.config.agent_group_name,
        timezone=session.config.timezone,
        destinations=fetched.destinations,
        home=next((row.address for row in fetched.messages if row.address), fetched.routing),
        admin_user_ids=session.config.admin_user_ids,
    )


# -- the provider --------------------------------------------------------------


async def _ask(session: Session, provider: OpenProvider, claimed: ClaimedTurn) -> Result | ProviderError:
    """Return the provider's result, or its error. The heartbeat runs meanwhile."""
    activity = Activity()
    context = ToolContext(session, claimed.turn, claimed.fetched.routing, claimed.turn_state)
    tools = TurnToolbox(provider.tools, context, activity)
    with session.heartbeat.watchdog(activity):
        return await _run_provider(session, provider, claimed.turn, tools)
    return ProviderError(f"the provider was silent for {session.config.silence_limit:.0f} s")


async def _run_provider(
    session: Session, provider: OpenProvider, turn: Turn, tools: TurnToolbox
) -> Result | ProviderError:
    try:
        with foreign_code(ProviderError, RunnerError, Exception):
            async with provider.socket.turn(tools):
                result = await provider.handler.run(turn, tools)
        return await _checked(session, result)
    except ProviderError as error:
        return _released(error)
    except Exception as error:
        # The database may have failed under a tool. That is not the provider's failure.
        if session.outbound.broken:
            raise
        return ProviderError(with_advice(describe(error)))


def _released(error: ProviderError) -> ProviderError:
    """Return a provider's error with values that can be committed. Other people write providers."""
    reason, retry_at = str(error.reason), error.retry_at
    is_time = isinstance(retry_at, datetime) and retry_at.tzinfo is not None
    return ProviderError(with_advice(reason), retry_at if is_time else None)


async def _checked(session: Session, result: object) -> Result:
    """Return a provider's result after checking that it can be committed. Other people write providers."""
    if not isinstance(result, Result):
        raise ProviderError(f"the provider returned {_kind(result)}, not a Result")
    replies: Sequence[object] = result.replies
    for reply in replies:
        text: object = reply.text if isinstance(reply, Reply) else reply
        if not isinstance(reply, Reply) or not isinstance(text, str):
            raise ProviderError(f"the provider replied with {_kind(text)}, not text")
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
