"""Secrets of channels, such as tokens: read when a channel connects, and watched for changes."""

import trio
from attrs import define

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway.keys import KeyUnavailable, read_key

LOOK_S = 2.0
"""Seconds between looks at a secret."""


@define(eq=False)
class Secret:
    """A secret of a channel. No error and no log has its value."""

    place: KeyConfig
    """Where it is: a file, a variable or a command."""
    _last: str | None = None

    async def read(self) -> str:
        """Return the secret.

        Raises:
            ChannelUnavailable: it cannot be read now. The text says why and what to do.
        """
        try:
            self._last = await read_key(self.place)
        except KeyUnavailable as error:
            raise ChannelUnavailable(str(error), condition="unauthorized") from error
        return self._last

    async def changed(self) -> None:
        """Return once the secret differs from the one that was read last. Connect again then.

        A secret that cannot be read is not a change.
        """
        before = self._last
        while True:
            await trio.sleep(LOOK_S)
            try:
                if await read_key(self.place) != before:
                    return
            except KeyUnavailable:
                continue
