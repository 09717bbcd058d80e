"""Who is told when the central database changes: sessions, whose projections follow it (contract 4)."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import trio
from attrs import Factory, define


@define(eq=False)
class Changes:
    """Watchers by agent group. Callbacks are synchronous and only signal; nothing is said of what changed."""

    version: int = 0
    """Counts the registry's commits: what was read under another version may be out of date."""
    _watchers: dict[str, dict[object, Callable[[], None]]] = Factory(dict)
    _opened: dict[str, None] = Factory(dict)
    _opened_some: trio.Event = Factory(trio.Event)

    @contextmanager
    def watch(self, agent_group_id: str, changed: Callable[[], None]) -> Iterator[None]:
        """While open, `changed` is called after commits that touch what the agent group's sessions show."""
        token = object()
        watchers = self._watchers.setdefault(agent_group_id, {})
        watchers[token] = changed
        try:
            yield
        finally:
            del watchers[token]
            if not watchers:
                self._watchers.pop(agent_group_id, None)

    def tell(self, agent_group_id: str) -> None:
        """Wirings, destinations, names, roles or sessions of an agent group changed; after the commit."""
        for changed in list(self._watchers.get(agent_group_id, {}).values()):
            changed()

    def tell_all(self) -> None:
        """Something that all agent groups may show has changed, such as a chat's name or a global role."""
        for agent_group_id in list(self._watchers):
            self.tell(agent_group_id)

    def open(self, session_id: str) -> None:
        """A session became active: if it has work, it has to come to life. After the commit."""
        self._opened[session_id] = None
        self._opened_some.set()

    async def opened(self) -> Collection[str]:
        """Wait for sessions that became active, each told once; for one caller."""
        await self._opened_some.wait()
        self._opened_some = trio.Event()
        ids, self._opened = self._opened, {}
        return ids.keys()
