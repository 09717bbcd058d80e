"""The sites that agents may reach: the decisions of the owner in memory, and the questions to the owner.

The central database has both. They are read again after each change, and not for a connection.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Literal

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import ActorError, Context, Ref
from nanoclaw.gateway.web.refusals import WebRefused, asked, closed, full, refused, unasked, unlisted
from nanoclaw.gateway.web.targets import Target
from nanoclaw.records.network import BadSite, NetworkRule, Site, SiteDecision
from nanoclaw.registry import MOST_OPEN, AskForSite, Changes, Registry
from nanoclaw.store import Connection, Reader, StoreError
from nanoclaw.store.central import network_sites
from nanoclaw.store.engine.mutex import Mutex

AGAIN_S = 5.0
"""Delay in seconds before a failed read is repeated."""
Verdict = Literal["allowed", "refused", "closed", "unlisted", "ask"]
Decisions = Sequence[tuple[Site, SiteDecision]]

_log = structlog.get_logger()


def judge(rule: NetworkRule, decisions: Decisions, host: str, port: int) -> Verdict:
    """Return what a rule and the owner's decisions say. The most precise decision counts, before the rule."""
    if rule.mode == "none":
        return "closed"
    found = [each for each in decisions if each[0].matches(host, port)]
    if found:
        return max(found, key=lambda each: each[0].precision)[1]
    if rule.allows(host, port):
        return "allowed"
    return "ask" if rule.mode == "ask" else "unlisted"


@frozen
class _Books:
    """The rows as they were at a version."""

    version: int = -1
    decisions: Mapping[str, Decisions] = Factory(dict)
    """By agent."""
    asked: Mapping[str, frozenset[str]] = Factory(dict)
    """The sites of open questions, by agent."""


@frozen(eq=False)
class _Passage:
    """A connection that goes on while it is allowed."""

    agent_group_id: str
    rule: NetworkRule
    target: Target
    scope: trio.CancelScope


@define(eq=False)
class SiteKeeper:
    """Judges targets, asks the owner, and ends connections whose permission is withdrawn."""

    _registry: Ref[Registry]
    _central: Reader
    _changes: Changes
    _books: _Books = field(factory=_Books, init=False)
    _passages: dict[object, _Passage] = field(factory=dict, init=False)
    _asking: dict[tuple[str, str], trio.Event] = field(factory=dict, init=False)
    _reading: Mutex = field(factory=Mutex, init=False)

    async def require(self, agent_group_id: str, session_id: str, rule: NetworkRule, target: Target) -> None:
        """Return if an agent may reach a target now. If the owner must be asked, ask.

        Raises:
            WebRefused: it may not, or that cannot be found out now.
        """
        verdict = await self._verdict(agent_group_id, rule, target)
        if verdict == "ask":
            await self._ask(agent_group_id, session_id, target)
            verdict = await self._verdict(agent_group_id, rule, target)  # it may be decided meanwhile
        if verdict != "allowed":
            raise self._refusal(verdict, agent_group_id, target)

    @contextmanager
    def passing(
        self, agent_group_id: str, rule: NetworkRule, target: Target, scope: trio.CancelScope
    ) -> Iterator[None]:
        """Cancel `scope` when the permission is withdrawn, while the context is open."""
        token = object()
        self._passages[token] = _Passage(agent_group_id, rule, target, scope)
        try:
            yield
        finally:
            del self._passages[token]

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for the status if questions wait for the owner."""
        waiting = sum(map(len, self._books.asked.values()))
        sites = "a site" if waiting == 1 else f"{waiting} sites"
        return (f"agents ask to reach {sites}: nanoclaw network list",) if waiting else ()

    # -- judging

    async def _verdict(self, agent_group_id: str, rule: NetworkRule, target: Target) -> Verdict:
        try:
            await self._fresh()
        except StoreError as error:
            raise WebRefused("store", "the permissions cannot be read now. Try again later") from error
        return self._judged(agent_group_id, rule, target)

    def _judged(self, agent_group_id: str, rule: NetworkRule, target: Target) -> Verdict:
        return judge(rule, self._books.decisions.get(agent_group_id, ()), target.host, target.port)

    def _refusal(self, verdict: Verdict, agent_group_id: str, target: Target) -> WebRefused:
        site, waiting = target.site, self._books.asked.get(agent_group_id, frozenset[str]())
        match verdict:
            case "refused":
                return refused(site)
            case "unlisted":
                return unlisted(site)
            case "ask" if site in waiting:
                return asked(site)
            case "ask":
                return full(site) if len(waiting) >= MOST_OPEN else unasked(site)
            case _:
                return closed()

    async def _fresh(self) -> None:
        """Read the rows, if they have changed. Raises StoreError."""
        while self._books.version != self._changes.network_version:
            async with self._reading:
                if self._books.version != (version := self._changes.network_version):
                    self._books = await self._central.run(_read, version)

    # -- asking

    async def _ask(self, agent_group_id: str, session_id: str, target: Target) -> None:
        """Store a question, unless it is open, or too many are. Callers that come together share one."""
        site, waiting = target.site, self._books.asked.get(agent_group_id, frozenset[str]())
        if ":" in target.host:
            raise WebRefused("unlisted", "an IPv6 address cannot be allowed by itself. Use a name")
        if site in waiting or len(waiting) >= MOST_OPEN:
            return
        if (asking := self._asking.get((agent_group_id, site))) is not None:
            await asking.wait()
            return
        done = self._asking[agent_group_id, site] = trio.Event()
        try:
            with trio.CancelScope(shield=True):  # else it is not known if it was stored
                await self._registry.ask(AskForSite(agent_group_id, site, session_id))
        except (StoreError, ActorError) as error:
            _log.warning("gateway.question_not_stored", agent=agent_group_id, site=site, reason=str(error))
            raise unasked(site) from error
        finally:
            del self._asking[agent_group_id, site]
            done.set()

    # -- following changes

    async def _follow_changes(self) -> None:
        while True:
            await self._changes.network_changed()
            try:
                await self._fresh()
            except StoreError as error:
                _log.warning("gateway.sites_not_read", reason=str(error), again_in_s=AGAIN_S)
                self._changes.tell_network()
                await trio.sleep(AGAIN_S)
            else:
                self._end_withdrawn()

    def _end_withdrawn(self) -> None:
        for each in list(self._passages.values()):
            if self._judged(each.agent_group_id, each.rule, each.target) != "allowed":
                each.scope.cancel()

    @asynccontextmanager
    async def recipe(self, _context: Context["SiteKeeper"]) -> AsyncIterator["SiteKeeper"]:
        """Read the rows, then follow their changes. Raises StoreError."""
        await self._fresh()
        self._end_withdrawn()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_changes)
            yield self
            nursery.cancel_scope.cancel()


def _read(connection: Connection, version: int) -> _Books:
    decisions = dict[str, list[tuple[Site, SiteDecision]]]()
    for row in network_sites.every(connection):
        with suppress(BadSite):  # a row of another program
            decisions.setdefault(row.agent_group_id, []).append((Site.of(row.site), row.decision))
    asked_for = dict[str, set[str]]()
    for question in network_sites.questions(connection):
        if question.agent_group_id is not None:
            asked_for.setdefault(question.agent_group_id, set()).add(question.request_id)
    return _Books(version, decisions, {agent: frozenset(sites) for agent, sites in asked_for.items()})
