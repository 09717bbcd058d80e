"""The ids of the pieces of a long message, kept in the channel's state so that an edit reaches all of them.

The host knows a message by the id of its first piece.
"""

import json
from collections.abc import Sequence

import structlog
from attrs import frozen

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.state import ChannelState, StateError

KEPT_S = 30 * 86_400.0
"""Seconds for which pieces are kept. After that an edit changes only the first one."""

_log = structlog.get_logger()


@frozen
class SentPieces:
    """The pieces of the messages that a channel has sent."""

    state: ChannelState
    kept_s: float = KEPT_S

    async def keep(self, platform_id: str, ids: Sequence[str], *, before: Sequence[str] = ()) -> None:
        """Keep the pieces of a message that has several. A failure is logged.

        `before` has the pieces of a message that is edited: it may have one now, and several before.
        """
        if max(len(ids), len(before)) <= 1:
            return
        try:
            await self.state.set(_key(platform_id, ids[0]), json.dumps([*ids]), ttl_s=self.kept_s)
        except StateError as error:
            _log.warning("channel.pieces_not_kept", chat=platform_id, reason=str(error))

    async def of(self, platform_id: str, first: str) -> Sequence[str]:
        """Return the pieces of a message by its first one, which is the only one if others are not known.

        Raises:
            ChannelUnavailable: the state cannot be read now.
        """
        try:
            kept = await self.state.get(_key(platform_id, first))
        except StateError as error:
            raise ChannelUnavailable(f"the pieces of a message cannot be read: {error}") from error
        return [str(each) for each in json.loads(kept)] if kept else [first]


def _key(platform_id: str, first: str) -> str:
    return f"pieces {platform_id} {first}"[:512]
