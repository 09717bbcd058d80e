"""The names of users and channels, asked for once and kept for a while."""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.slack.connection import SlackBroke, SlackConnection, SlackRefused

KEPT_S = 3_600.0
"""Seconds for which a name is kept."""
MOST = 5_000
"""Limit of names that are kept. The oldest is forgotten first."""
ASK_S = 5.0
"""Time limit of the search for a name in seconds. A message arrives without it after that."""


@define(eq=False)
class SlackNames:
    """Finds names. An id stands for a name that cannot be found now."""

    connection: SlackConnection
    _kept: dict[str, tuple[str, float]] = Factory(dict)

    async def user(self, id_: str) -> str:
        """Return the name that a user shows."""
        method, key = ("bots.info", "bot") if id_.startswith("B") else ("users.info", "user")
        return await self._name(id_, method, key)

    async def channel(self, id_: str) -> str | None:
        """Return the name of a channel, or None for a direct chat."""
        name = await self._name(id_, "conversations.info", "channel")
        return name if name != id_ else None

    def rename(self, id_: str, name: str) -> None:
        """Note a name that Slack has reported."""
        self._keep(id_, name)

    async def _name(self, id_: str, method: str, key: str) -> str:
        name, until = self._kept.get(id_, ("", 0.0))
        if until > trio.current_time():
            return name
        with trio.move_on_after(ASK_S):
            try:
                answer = await self.connection.read(method, **{key: id_})
            except (ChannelUnavailable, SlackRefused, SlackBroke):
                return name or id_
            name = _name_in(answer.get(key)) or id_
            self._keep(id_, name)
        return name or id_

    def _keep(self, id_: str, name: str) -> None:
        self._kept.pop(id_, None)
        self._kept[id_] = (name, trio.current_time() + KEPT_S)
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]


def _name_in(found: object) -> str:
    if not isinstance(found, Mapping):
        return ""
    profile: Any = found.get("profile")
    shown: Mapping[str, Any] = profile if isinstance(profile, Mapping) else {}
    names = (shown.get("display_name"), shown.get("real_name"), found.get("real_name"), found.get("name"))
    return next((name[:1000] for name in names if isinstance(name, str) and name.strip()), "")
