"""The noun `http-keys`: the keys of the users of the HTTP API."""

from collections.abc import Sequence
from datetime import datetime
from secrets import token_urlsafe
from typing import Annotated

from attrs import frozen

from nanoclaw.channels.http.keys import SHOWN, STORED, StoredKey, stored_as
from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef
from nanoclaw.records import Address
from nanoclaw.registry import AddMember, WireChat
from nanoclaw.registry.chat_state import DeleteValue, SetValue
from nanoclaw.store import Connection, NotFound
from nanoclaw.store.central import agent_groups, chat_state
from nanoclaw.store.central.chat_state import Stored

PREFIX = "http"
COLUMNS = ("id", "user", "label", "created_at", "channel")


@frozen
class HttpKey:
    """A key of a user. Only a digest of it is stored."""

    id: str
    """The beginning of its digest."""
    user: str
    """The id of its user."""
    label: str
    created_at: datetime
    channel: str


@frozen
class NewHttpKey:
    """A new key. It is shown once."""

    key: str
    id: str
    user: str


@frozen
class HttpKeys(Noun):
    """The keys of the users of the HTTP API."""

    name = "http_keys"
    summary = "the keys of the users of the HTTP API"

    @operation(right=Right.OWNER, columns=("key", "user"))
    async def add(
        self,
        user: Annotated[str, Text(64)],
        *,
        agent: AgentRef | None = None,
        label: Annotated[str, Text(100, empty=True)] = "",
        channel: Annotated[str, Text(200)] = "http",
    ) -> NewHttpKey:
        """Make a key for a user, and print it. It is stored as a digest, so it cannot be shown again.

        Args:
            user: the name of the user, who is `http:NAME` under the usual rules of access.
            agent: an agent that they may talk to: they become a member, and it answers in their chat.
            label: words that tell the key apart from others, such as the program that uses it.
            channel: the name of the channel.
        """
        name = _name(user)
        if agent is not None:
            await self._connect(f"{PREFIX}:{name}", Address(channel, name), agent)
        key = f"nck_{token_urlsafe(32)}"
        stored = stored_as(key)
        value = StoredKey(name, name, label, self._ground.now())
        await self._registry.ask(SetValue(channel, stored, value.dumped()))
        return NewHttpKey(key, _id(stored), f"{PREFIX}:{name}")

    @operation(right=Right.OWNER, reads=True, columns=COLUMNS)
    async def list(self, *, user: Annotated[str | None, Text(64)] = None) -> Sequence[HttpKey]:
        """List the keys, oldest first.

        Args:
            user: only those of a user, by the name.
        """
        found = await self._central.run(_keys, self._ground.now())
        return [each for each in found if user is None or each.user == f"{PREFIX}:{user}"]

    @operation(right=Right.OWNER, columns=COLUMNS, asks="Revoke the keys {key}?")
    async def revoke(self, key: Annotated[str, Text(100)]) -> Sequence[HttpKey]:
        """Revoke a key, or all keys of a user. Requests with them are refused from now on.

        Args:
            key: the id of a key, as `http-keys list` shows it, or the name of a user.
        """
        found = [each for each in await self.list() if key in {each.id, each.user.removeprefix(f"{PREFIX}:")}]
        if not found:
            raise NotFound(f"there is no key {key!r:.100}, and no user of this name has one")
        for each in found:
            for stored in await self._central.run(_stored, each, self._ground.now()):
                await self._registry.ask(DeleteValue(each.channel, stored))
        return found

    async def _connect(self, user_id: str, chat: Address, agent: str) -> None:
        """Make a user a member of an agent that answers in their chat."""
        group = await self._central.run(agent_groups.require, agent)
        await self._registry.ask(AddMember(user_id, agent, await self._known_caller(), create_user=True))
        await self._registry.ask(
            WireChat(chat, group.folder, "strict", "per-thread", chat_name=chat.platform_id)
        )


def _name(user: str) -> str:
    name = user.removeprefix(f"{PREFIX}:")
    if not name.isascii() or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise BadArguments(f"user: must be letters, digits, `.`, `_` or `-`, got {user!r:.100}")
    return name


def _id(stored: str) -> str:
    return stored.removeprefix(STORED)[:SHOWN]


def _keys(connection: Connection, now: datetime) -> list[HttpKey]:
    found = [_key(each) for each in chat_state.beginning(connection, STORED, now)]
    return sorted(found, key=lambda each: each.created_at)


def _key(stored: Stored) -> HttpKey:
    key = StoredKey.loaded(stored.value)
    return HttpKey(_id(stored.key), f"{PREFIX}:{key.user}", key.label, key.created_at, stored.channel_type)


def _stored(connection: Connection, key: HttpKey, now: datetime) -> list[str]:
    found = chat_state.beginning(connection, STORED + key.id, now)
    return [each.key for each in found if each.channel_type == key.channel]
