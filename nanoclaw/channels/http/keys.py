"""Keys of users. Only their digests are stored, in the channel's state."""

import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Self

from attrs import frozen

from nanoclaw.channels.http.rooms import Person
from nanoclaw.channels.state import ChannelState
from nanoclaw.store import from_text, to_text

STORED = "key:"
"""The beginning of the names of keys in the state of a channel."""
SHOWN = 12
"""Characters of a digest that name a key."""
_TOKEN = re.compile(r"nck_[A-Za-z0-9_-]{43}")


@frozen
class StoredKey:
    """The value that is stored under the digest of a key."""

    user: str
    """The name of the user, without the prefix."""
    name: str
    """The name for agents and other people."""
    label: str
    created_at: datetime

    def dumped(self) -> str:
        """Return it as text."""
        found = {"user": self.user, "name": self.name, "label": self.label}
        return json.dumps({**found, "created_at": to_text(self.created_at)})

    @classmethod
    def loaded(cls, text: str) -> Self:
        """Return the value of a text that `dumped` made."""
        found = json.loads(text)
        return cls(found["user"], found["name"], found["label"], from_text(found["created_at"]))


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
        stored = StoredKey.loaded(found)
        return Person(stored.user, stored.name)
