"""Conversations of the page: threads of the direct chats of a user with agents.

The chat `ann` is the direct chat of the user `ann` with the first agent that they may talk to, and
`ann/coder` the one with the agent in the folder `coder`. The page names a conversation by the thread alone,
or by `coder/` and the thread.
"""

from collections.abc import Sequence

from attrs import frozen

from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.rooms import HttpRoom, Person
from nanoclaw.channels.http.web import requests
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import AgentGroup


@frozen
class Conversation:
    """A thread of a chat; `thread` is empty for what is said outside of threads."""

    chat: str
    thread: str

    def name(self, user: str) -> str:
        """Return the name for the page."""
        folder = self.chat.removeprefix(user).removeprefix("/")
        return f"{folder}/{self.thread}" if folder else self.thread

    @classmethod
    def named(cls, user: str, name: str) -> "Conversation":
        """Return the conversation of a name.

        Raises:
            ApiError: it is none.
        """
        folder, slash, thread = name.rpartition("/")
        if thread:
            requests.name(thread, "thread")
        if slash:
            requests.name(folder, "thread")
        return cls(f"{user}/{folder}" if slash else user, thread)


@frozen
class Chats:
    """The chats of a user with agents."""

    server: HttpServer
    person: Person

    async def agents(self) -> Sequence[AgentGroup]:
        """Return the agents that the user may talk to.

        Raises:
            ApiError: the host cannot say now.
        """
        try:
            return await self.server.agents.of_user(self.person.user_id)
        except ChannelUnavailable as error:
            raise ApiError(503, str(error), retry_after_s=5) from error

    async def names(self) -> Sequence[str]:
        """Return the chats of the user, the main one first."""
        user = self.person.user
        return [user, *(f"{user}/{each.folder}" for each in await self.agents())]

    async def room(self, where: Conversation) -> HttpRoom:
        """Return the chat of a conversation, wired to its agent if nobody has wired it yet.

        Raises:
            ApiError: the user may not talk to that agent, or the host cannot say now.
        """
        room, user_id = self.server.rooms.room(where.chat), self.person.user_id
        folder = where.chat.removeprefix(self.person.user).removeprefix("/")
        try:
            if folder:
                allowed = await self.server.agents.connect(user_id, room.address(), folder)
            else:
                allowed = await self._connect_main(room)
        except ChannelUnavailable as error:
            raise ApiError(503, str(error), retry_after_s=5) from error
        if not allowed:
            raise ApiError(403, f"You may not talk to the agent {folder}.", code="no_agent")
        return room

    async def _connect_main(self, room: HttpRoom) -> bool:
        """Wire the main chat to the first agent of the user. Without one, the owners are asked as usual."""
        agents = self.server.agents
        if not await agents.of_chat(room.address()):
            mine = await agents.of_user(self.person.user_id)
            if mine:
                await agents.connect(self.person.user_id, room.address(), mine[0].folder)
        return True
