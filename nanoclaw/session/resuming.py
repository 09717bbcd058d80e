"""Resumes sessions: all of them at the host's start, and later each one that was made active again."""

from collections.abc import Callable, Sequence

import structlog
import trio

from nanoclaw.runtimes import Runtime, StartFailed
from nanoclaw.session.conversations import Conversations, every_conversation, open_conversations
from nanoclaw.session.directory import Sessions
from nanoclaw.session.services import Services
from nanoclaw.store import Connection, Reader, StoreUnavailable
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Bounds of the delay before a failed read of the sessions is retried."""

_log = structlog.get_logger()


async def resume_sessions(services: Services, living: Sessions) -> None:
    """Resume all sessions, then those that are made active again, until it is cancelled."""
    survivors = await survivors_of(services.runtime)
    services.places.outlived(survivors)
    found = await _conversations(services.central, every_conversation)
    for damaged in found.damaged:
        _log.error("session.unusable", session=damaged.id, reason=str(damaged))
    await living.resume(found.usable, survivors=survivors)
    while True:
        opened = await services.changes.opened()
        found = await _conversations(services.central, open_conversations)
        await living.resume([each for each in found.usable if each.session.id in opened])


async def survivors_of(runtime: Runtime) -> Sequence[str]:
    """Return the ids of the sessions whose runners outlived the last host; none if the runtime fails."""
    try:
        with foreign_code(StartFailed):
            return tuple(await runtime.survivors())
    except (StartFailed, ForeignError) as error:
        _log.warning("host.survivors_unknown", reason=text_of(error))
        return ()


async def _conversations(central: Reader, read: Callable[[Connection], Conversations]) -> Conversations:
    """Read sessions of the central database. While the system cannot serve it, retry with back-off."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await central.run(read)
        except StoreUnavailable as error:
            _log.warning("host.sessions_unread", reason=str(error), again_in_s=pause_s)
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
