"""The core of the proxy: from a target to a connection, through all checks. It logs each connection."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
import trio
from attrs import Factory, define, field, frozen

from nanoclaw.gateway.web.addresses import is_private_name, is_public
from nanoclaw.gateway.web.internet import Internet, PublicInternet
from nanoclaw.gateway.web.limits import OpenConnections, WebLimits
from nanoclaw.gateway.web.refusals import WebRefused, private, withdrawn
from nanoclaw.gateway.web.sites import SiteKeeper
from nanoclaw.gateway.web.targets import Target
from nanoclaw.records.network import NetworkRule

RESOLVE_S = 10.0
"""Longest time to look up a name."""
CONNECT_S = 10.0
"""Longest time to connect to one address."""
MOST_ADDRESSES = 4
"""Addresses of a name that are tried, one after the other."""
IDLE_S = 300.0
"""A connection without a byte in either direction ends after this time."""

_log = structlog.get_logger()


@frozen
class WebCaller:
    """The sandbox that asks, and the rule of its agent."""

    session_id: str
    agent_group_id: str
    rule: NetworkRule
    limits: WebLimits = field(factory=WebLimits, eq=False, repr=False)


@define(eq=False)
class Way:
    """A connection to a server, and what went through it."""

    target: Target
    stream: trio.abc.HalfCloseableStream
    idle: trio.CancelScope
    since: float = Factory(trio.current_time)
    sent: int = 0
    """Bytes from the sandbox to the server."""
    received: int = 0

    def count_sent(self, size: int) -> None:
        """Count bytes to the server."""
        self.sent += size
        self._alive()

    def count_received(self, size: int) -> None:
        """Count bytes from the server."""
        self.received += size
        self._alive()

    def _alive(self) -> None:
        self.idle.deadline = trio.current_time() + IDLE_S


@define(eq=False)
class WebProxy:
    """Opens the connections of all sandboxes of a host."""

    sites: SiteKeeper
    internet: Internet = Factory(PublicInternet)
    connections: OpenConnections = field(factory=OpenConnections, init=False)
    """The connections of all sandboxes, counted from their start."""

    @asynccontextmanager
    async def way(self, caller: WebCaller, target: Target) -> AsyncIterator[Way]:
        """Yield a connection to a target. Its exit closes it.

        The body is cancelled if the permission is withdrawn, or after `IDLE_S` without a byte.

        Raises:
            WebRefused: it leads nowhere, or not for this agent.
        """
        caller.limits.admit(trio.current_time())
        if is_private_name(target.host) if not target.literal else not is_public(target.host):
            raise private(target.site)
        await self.sites.require(caller.agent_group_id, caller.session_id, caller.rule, target)
        async with self._allowed(caller, target) as way:
            yield way

    @asynccontextmanager
    async def _allowed(self, caller: WebCaller, target: Target) -> AsyncIterator[Way]:
        with (
            trio.CancelScope() as permitted,
            self.sites.passing(caller.agent_group_id, caller.rule, target, permitted),
        ):
            async with await self._connected(caller, target) as stream:
                with trio.move_on_after(IDLE_S) as idle:
                    way = Way(target, stream, idle)
                    try:
                        yield way
                    finally:
                        _log_way(caller, way, withdrawn=permitted.cancel_called)
            return
        raise withdrawn(target.site)

    async def _connected(self, caller: WebCaller, target: Target) -> trio.abc.HalfCloseableStream:
        """Connect to an address that was checked. A name is looked up once."""
        addresses = [target.host] if target.literal else await self._looked_up(caller, target)
        public = [each for each in addresses if is_public(each) and not self.internet.is_own(each)]
        if not public:
            raise private(target.site)
        reason = "it does not answer"
        for address in public[:MOST_ADDRESSES]:
            with trio.move_on_after(CONNECT_S):
                try:
                    return await self.internet.connect(address, target.port)
                except OSError as error:
                    reason = error.strerror or type(error).__name__
        raise WebRefused("unreachable", f"{target.authority} cannot be reached: {reason}")

    async def _looked_up(self, caller: WebCaller, target: Target) -> Sequence[str]:
        with trio.move_on_after(RESOLVE_S):
            try:
                async with caller.limits.lookups:
                    return await self.internet.resolve(target.host)
            except (OSError, UnicodeError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise WebRefused(
                    "unreachable", f"the name {target.host} cannot be resolved: {reason}"
                ) from error
        raise WebRefused("unreachable", f"the name {target.host} cannot be resolved in {RESOLVE_S:.0f} s")


def _log_way(caller: WebCaller, way: Way, *, withdrawn: bool) -> None:
    _log.info(
        "gateway.web",
        session=caller.session_id,
        host=way.target.host,
        port=way.target.port,
        sent=way.sent,
        received=way.received,
        duration_s=round(trio.current_time() - way.since, 3),
        ended="withdrawn" if withdrawn else "idle" if way.idle.cancel_called else "closed",
    )
