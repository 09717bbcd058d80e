"""One turn: claim, provider, outcome (contract 4, Status)."""

from collections.abc import Sequence

from agent_runner import outbound
from agent_runner.ending import Work, end
from agent_runner.errors import ProviderError
from agent_runner.extras import Extras
from agent_runner.heartbeat import Pulse
from agent_runner.inbound import Fetched
from agent_runner.looking import fetch
from agent_runner.records import Claim, Reply, Result, Sent, Turn
from agent_runner.selection import Batch
from agent_runner.session import Session
from agent_runner.tools import Tools


async def take_turn(session: Session, batch: Batch) -> None:
    """Take the rows of a batch through the provider.

    Raises InboundUnavailableError before anything is claimed; StoreBusyError, DatabaseError any time.
    """
    fetched = await fetch(session, batch.ids)
    if fetched.messages:
        work = await _claim(session, batch, fetched)
        await end(session, work, await _ask(session, work))


async def _claim(session: Session, batch: Batch, fetched: Fetched) -> Work:
    claims = tuple(Claim(row.id, row.tries) for row in (*fetched.messages, *fetched.context))
    turn_id = session.seams.new_id("turn")
    now = session.seams.clock.now()
    sent = await session.own.write(lambda connection: outbound.claim(connection, claims, now, turn_id))
    session.seams.log(
        "turn.started", turn=turn_id, messages=len(fetched.messages), context=len(fetched.context)
    )
    extras = Extras({claim.id for claim in batch.omitted})
    return Work(_turn(session, batch, fetched, turn_id, sent), claims, batch.omitted, fetched, extras)


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
    )


# -- the provider --------------------------------------------------------------


async def _ask(session: Session, work: Work) -> Result | ProviderError:
    """The provider's result, or why there is none. Its heartbeat goes on beside it."""
    pulse = Pulse()
    tools = Tools(session, work.turn, work.fetched.routing, pulse, work.extras)
    with session.heart.beats_for(pulse):
        return await _run_provider(session, work.turn, tools)
    return ProviderError(f"the provider gave no sign of life for {session.config.silence_limit:.0f} s")


async def _run_provider(session: Session, turn: Turn, tools: Tools) -> Result | ProviderError:
    try:
        return _checked(await session.seams.provider.run(turn, tools))
    except ProviderError as error:
        return error
    except Exception as error:
        # What broke may be the database under a tool; that is no failure of the provider.
        if session.own.broken:
            raise
        return ProviderError(f"{type(error).__name__}: {error}")


def _checked(result: object) -> Result:
    """What a provider returned, if it is a result: providers are written by others."""
    if not isinstance(result, Result):
        raise ProviderError(f"the provider returned {_kind(result)}, and no Result")
    replies: Sequence[object] = result.replies
    for reply in replies:
        text: object = reply.text if isinstance(reply, Reply) else reply
        if not isinstance(reply, Reply) or not isinstance(text, str):
            raise ProviderError(f"the provider replied with {_kind(text)}, and no text")
    return result


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
