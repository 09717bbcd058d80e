"""Keys of users. Only their digests are stored, in the channel's state."""

import json
import re
from hashlib import sha256

from attrs import frozen

from nanoclaw.channels.http.rooms import Person
from nanoclaw.channels.state import ChannelState

STORED = "key:"
"""The beginning of the names of keys in the state of a channel."""
_TOKEN = re.compile(r"nck_[A-Za-z0-9_-]{43}")


def stored_as(token: str) -> str:
    """Return the name under which a key is stored. It has 256 random bits, so a plain digest hides it."""
    return STORED + sha256(token.encode()).hexdigest()


@frozen
class Keys:
    """Finds the users of keys."""

    state: ChannelState

    async def person(self, token: str) -> Person | None:
        """Return the user of a key, or None if it is unknown or revoked.

        Raises:
            StateUnavailable: the host cannot say now.
        """
        if not _TOKEN.fullmatch(token):
            return None
        found = await self.state.get(stored_as(token))
        if found is None:
            return None
        stored = json.loads(found)
        return Person(stored["user"], stored.get("name") or stored["user"])
