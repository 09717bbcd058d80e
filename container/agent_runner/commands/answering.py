"""Answers slash commands. Each has a turn of its own, which no provider sees."""

from functools import partial

import trio
from attrs import evolve

from agent_runner.commands.base import Answered, CommandContext, is_admin
from agent_runner.commands.call import Call
from agent_runner.commands.registry import COMMANDS
from agent_runner.errors import ProviderError
from agent_runner.foreign import describe, foreign_code
from agent_runner.heartbeat import Activity
from agent_runner.inbound import Fetched
from agent_runner.providers import TurnHandler
from agent_runner.records import Inbound, Reply, Result
from agent_runner.session import Session
from agent_runner.turns.claiming import claim, unclaimed
from agent_runner.turns.outcome import ClaimedTurn, Ending, commit_outcome
from agent_runner.turns.provider_call import checked, supervise
from agent_runner.turns.selection import Batch

LONGEST_AFTERWARDS = 10.0
"""Seconds that a provider may take for what follows the answer."""


async def obey(session: Session, handler: TurnHandler, call: Call, batch: Batch, fetched: Fetched) -> None:
    """Answer the command that the only row of a batch calls.

    The claim and the answer are one commit. If the model is asked, the claim comes first, so that the host
    sees the turn. Raises StoreBusyError, DatabaseError.
    """
    if COMMANDS[call.name].asks_model:
        turn = await claim(session, batch, fetched)
        work = partial(_answer, session, handler, call, fetched.messages[0])
        outcome = await supervise(session, turn, Activity(), work)
        if isinstance(outcome, Ending):  # stopped; the next turn need not see the command
            outcome = Ending(outcome.result)
    else:
        turn = unclaimed(session, batch, fetched)
        outcome = await _answer(session, handler, call, fetched.messages[0])
    await _conclude(session, turn, call, outcome)


async def _answer(
    session: Session, handler: TurnHandler, call: Call, message: Inbound
) -> Answered | ProviderError:
    """Return the answer, or an error that has the command tried again."""
    try:
        answered = await _run(CommandContext(session, handler, message, call.arguments), call)
        await checked(session, Result(state=answered.state))
    except Exception as error:
        if session.outbound.broken:
            raise
        return ProviderError(f"/{call.name}: {describe(error)}")
    return answered


async def _run(context: CommandContext, call: Call) -> Answered:
    command = COMMANDS[call.name]
    if command.is_for_admins(call.arguments) and not is_admin(context.session, context.message):
        return Answered(f"Only an administrator of this agent may use {command.usage} here{command.purpose}.")
    try:
        return await command.run(context)
    except ProviderError as error:
        return Answered(f"/{call.name} did not work: {error.reason}")


async def _conclude(
    session: Session, turn: ClaimedTurn, call: Call, outcome: Answered | ProviderError | Ending
) -> None:
    if not isinstance(outcome, Answered):
        await commit_outcome(session, evolve(turn, omitted=()), outcome)
        return
    reply = Reply(outcome.text, turn.fetched.messages[0].id)
    ending = Ending(Result((reply,), state=outcome.state), outcome.also)
    await commit_outcome(session, evolve(turn, omitted=turn.omitted if outcome.drops_context else ()), ending)
    await _follow_through(session, call, outcome)


async def _follow_through(session: Session, call: Call, answered: Answered) -> None:
    """Do what follows the committed answer. An error is logged: the answer cannot be taken back."""
    try:
        with trio.move_on_after(LONGEST_AFTERWARDS), foreign_code(Exception):
            await answered.afterwards()
    except Exception as error:  # noqa: BLE001 -- other people write providers
        session.seams.log("command.incomplete", level="error", command=call.name, reason=describe(error))
