"""One turn: claim, provider, outcome (contract 4, Status)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from agent_runner.commands.answering import obey
from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.heartbeat import Activity
from agent_runner.open_provider import OpenProvider
from agent_runner.polling import fetch
from agent_runner.records import Result
from agent_runner.scripts.waking import woken
from agent_runner.session import Session
from agent_runner.tools.base import ToolContext
from agent_runner.tools.toolbox import TurnToolbox
from agent_runner.turns.claiming import claim
from agent_runner.turns.endings import given_up
from agent_runner.turns.outcome import ClaimedTurn, Ending, commit_outcome
from agent_runner.turns.provider_call import ask, supervise
from agent_runner.turns.selection import Batch
from agent_runner.turns.shell import open_shell
from agent_runner.turns.state import TurnState


async def take_turn(session: Session, provider: OpenProvider, batch: Batch) -> None:
    """Take the rows of a batch through the provider, or answer the slash command that its row calls.

    Raises InboundUnavailableError before anything is claimed; StoreBusyError, DatabaseError any time.
    """
    fetched = await fetch(session, batch.ids)
    if not fetched.messages:
        return
    if batch.call is not None:
        await obey(session, provider.handler, batch.call, batch, fetched)
        return
    claimed = await claim(session, batch, fetched)
    session.drafts.begin(claimed.turn)
    with session.usage.of(claimed.turn.turn_id):
        await commit_outcome(session, claimed, await _ask(session, provider, claimed))
    session.drafts.end()


async def _ask(
    session: Session, provider: OpenProvider, claimed: ClaimedTurn
) -> Result | ProviderError | Ending:
    activity = Activity()
    context = ToolContext(session, claimed.turn, claimed.fetched.routing, claimed.turn_state)
    tools = TurnToolbox(provider.tools, context, activity)
    outcome = await supervise(session, claimed, activity, partial(_work, session, provider, claimed, tools))
    return given_up(claimed, outcome) if isinstance(outcome, ProviderFatal) else outcome


async def _work(
    session: Session, provider: OpenProvider, claimed: ClaimedTurn, tools: TurnToolbox
) -> Result | ProviderError:
    """Let a task's script decide if the provider is asked at all, and ask it."""
    turn = await woken(session, claimed.turn, tools)
    if turn is None:
        session.seams.log("task.not_woken", turn=claimed.turn.turn_id)
        return Result()
    async with provider.socket.turn(tools), _shell(session, claimed.turn_state):
        return await ask(session, provider.handler, turn, tools)


@asynccontextmanager
async def _shell(session: Session, state: TurnState) -> AsyncGenerator[None]:
    """Let the agent run commands while the block runs, if it is in a sandbox. None outlives the block."""
    if not session.config.sandboxed:
        yield
        return
    async with open_shell(session) as shell:
        state.shell = shell
        try:
            yield
        finally:
            state.shell = None
