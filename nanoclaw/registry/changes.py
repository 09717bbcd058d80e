"""Notifies watchers of changes to the central database. Sessions update their projections (contract 4)."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import trio
from attrs import Factory, define

from nanoclaw.store.engine.row_changes import Changed

KEPT_COMMITS = 64
"""Number of commits whose changed rows are known."""


@define(eq=False)
class Changes:
    """Watchers by agent group. Callbacks are synchronous and only signal; they do not get the change."""

    version: int = 0
    """Number of commits of the registry. A read under another version may be stale."""
    _committed: deque[Changed] = Factory(lambda: deque(maxlen=KEPT_COMMITS))
    _watchers: dict[str, dict[object, Callable[[], None]]] = Factory(dict)
    _opened: dict[str, None] = Factory(dict)
    _opened_some: trio.Event = Factory(trio.Event)
    _budgets: trio.Event = Factory(trio.Event)
    network_version: int = 0
    """Number of changes to the sites of agents, and to the questions about them."""
    _network: trio.Event = Factory(trio.Event)
    _alerts: trio.Event = Factory(trio.Event)
    _admitted: trio.Event = Factory(trio.Event)
    attendances: int = 0
    """Number of times that somebody came to a chat where messages may be held."""
    _approvals: trio.Event = Factory(trio.Event)
    _questions: trio.Event = Factory(trio.Event)
    _state: trio.Event = Factory(trio.Event)
    _pairing: trio.Event = Factory(trio.Event)

    def committed(self, changed: Changed) -> None:
        """Note a commit of the registry with the rows that it changed."""
        self.version += 1
        self._committed.append(changed)

    def since(self, version: int) -> Changed:
        """Return the rows that were changed since a version."""
        n = self.version - version
        latest = list(self._committed)[-n:] if n else []
        if len(latest) < n or None in latest:
            return None
        return [row for changed in latest for row in changed or ()]

    @contextmanager
    def watch(self, agent_group_id: str, changed: Callable[[], None]) -> Iterator[None]:
        """Call `changed` after commits that affect the agent group's sessions, while the context is open."""
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
        """Notify the watchers of an agent group. Call it after the commit of a change that affects them.

        Such changes concern wirings, destinations, names, roles and sessions of the agent group.
        """
        for changed in list(self._watchers.get(agent_group_id, {}).values()):
            changed()
        self.tell_approvals()

    def tell_all(self) -> None:
        """Notify all watchers, except those of budgets.

        Call it after a change that may affect all agent groups: to a chat's name or a global role.
        """
        for agent_group_id in list(self._watchers):
            self.tell(agent_group_id)
        self.tell_approvals()

    def open(self, session_id: str) -> None:
        """Report a session that became active, after the commit. If it has work, it must be started."""
        self._opened[session_id] = None
        self._opened_some.set()

    async def opened(self) -> Collection[str]:
        """Wait for sessions that became active, and return their ids, each once. One task may call it."""
        await self._opened_some.wait()
        self._opened_some = trio.Event()
        ids, self._opened = self._opened, {}
        return ids.keys()

    def tell_budgets(self) -> None:
        """Report a change of limits, after the commit, or a jump of the date."""
        self._budgets.set()

    async def budgets_changed(self) -> None:
        """Wait for changes of limits. One task may call it."""
        await self._budgets.wait()
        self._budgets = trio.Event()

    def tell_network(self) -> None:
        """Report a change of the sites that agents may reach, or of a question, after the commit."""
        self.network_version += 1
        self._network.set()

    async def network_changed(self) -> None:
        """Wait for changes of sites. One task may call it."""
        await self._network.wait()
        self._network = trio.Event()

    def tell_admitted(self) -> None:
        """Report that somebody may have been let in, or refused, after the commit."""
        self._admitted.set()

    async def admitted(self) -> None:
        """Wait for changes of who is let in. One task may call it."""
        await self._admitted.wait()
        self._admitted = trio.Event()

    def tell_questions(self) -> None:
        """Report a change of a question or of its card, after the commit, or a jump of the date."""
        self._questions.set()

    async def questions_changed(self) -> None:
        """Wait for changes of questions. One task may call it."""
        await self._questions.wait()
        self._questions = trio.Event()

    def tell_state(self) -> None:
        """Report a change of the state of a channel, after the commit, or a jump of the date."""
        self._state.set()

    async def state_changed(self) -> None:
        """Wait for changes of the state of channels. One task may call it."""
        await self._state.wait()
        self._state = trio.Event()

    def tell_pairing(self) -> None:
        """Report that somebody has paired, after the commit."""
        self._pairing.set()

    async def paired(self) -> None:
        """Wait until somebody has paired. One task may call it."""
        await self._pairing.wait()
        self._pairing = trio.Event()

    def tell_alerts(self) -> None:
        """Report new alerts for the owner, after the commit."""
        self._alerts.set()

    async def alerts_stored(self) -> None:
        """Wait for new alerts. One task may call it."""
        await self._alerts.wait()
        self._alerts = trio.Event()

    def tell_approvals(self) -> None:
        """Report, after the commit, a change of an approval, or of who may decide and where they are."""
        self._approvals.set()

    def tell_attended(self) -> None:
        """Report that somebody came to a chat where cards may be held."""
        self.attendances += 1
        self.tell_approvals()

    async def approvals_changed(self) -> None:
        """Wait for changes of approvals. One task may call it."""
        await self._approvals.wait()
        self._approvals = trio.Event()
