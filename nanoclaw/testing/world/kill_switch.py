"""The kill switch of a host in this process: once tripped, nothing that the host does has an effect.

At that moment the host's files are read as they are on disk, journals included. From then on none of its
transactions commits, and nothing reaches a channel. Its tasks are cancelled and run their clean-up. When
they have ended, its files are restored as they were at that moment. So the next host finds what `kill -9`
would leave.

This simulates no power failure, and no death in the middle of a single write: a transaction dies at its
checkpoints and commit points.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar, cast

import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.protocol import DirectSender, DraftingSender, Outcome, Sender
from nanoclaw.channels.wrapper import ChannelWrapper
from nanoclaw.records import Address, Event, Intake, Outgoing, Receipt, Routed
from nanoclaw.system.foreign import result_of
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.executor import InlineExecutor

T = TypeVar("T")
SHARED_MEMORY = "-shm"
"""The suffix of a shared-memory file in WAL mode. The first connection creates it again."""


@define(eq=False)
class KillSwitch:
    """Stops one run of a host: once tripped, everything that holds it gets `HostKilled`."""

    tripped: bool = False
    _scopes: dict[trio.CancelScope, None] = Factory(dict)

    def trip(self) -> None:
        """Trip the switch. This is synchronous."""
        self.tripped = True
        for scope in self._scopes:
            scope.cancel()

    def check(self) -> None:
        """Raise HostKilled if the switch is tripped."""
        if self.tripped:
            raise HostKilled

    def holding(self) -> AbstractContextManager[None]:
        """Cancel the block when the switch is tripped, and raise HostKilled even if the block had ended."""
        return _Hold(self, self._scopes)


@define(eq=False)
class _Hold:
    """The context of `holding`. It is a class because each delivery goes through one."""

    switch: KillSwitch
    scopes: dict[trio.CancelScope, None]
    scope: trio.CancelScope = Factory(trio.CancelScope)

    def __enter__(self) -> None:
        self.switch.check()
        self.scopes[self.scope.__enter__()] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del self.scopes[self.scope]
        swallowed = self.scope.__exit__(kind, error, trace)
        if error is None or swallowed:
            self.switch.check()
        return swallowed


# -- what a host acts through ---------------------------------------------------


@frozen
class KillableExecutor:
    """The executor of one run: once the host is killed, it commits nothing."""

    shared: InlineExecutor
    switch: KillSwitch

    async def run(self, call: Callable[[], T], *, lane: str = "write") -> T:
        """Run `call`. Reads and closes of a dead host are harmless."""
        return await self.shared.run(call, lane=lane)

    def before_commit(self, path: Path) -> None:
        """Refuse commits of a dead host, including the commit at which it died."""
        self.switch.check()
        self.shared.before_commit(path)
        self.switch.check()

    def after_commit(self, path: Path) -> None:
        """Notify subscribers of a commit, unless the host is dead."""
        self.shared.after_commit(path)
        self.switch.check()


@frozen
class KillableChannel(ChannelWrapper):
    """A channel as one run of the host sees it."""

    switch: KillSwitch

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Connect the sending half."""
        async with self.channel.sender() as sender:
            yield _KillableSender(sender, self.switch)

    async def receive(self, intake: Intake) -> None:
        """Receive until the end of that run."""
        with self.switch.holding():
            await self.channel.receive(_KillableIntake(intake, self.switch))


@frozen
class _KillableSender:
    sender: Sender
    switch: KillSwitch

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        with self.switch.holding():
            return await result_of(self.sender.deliver(outgoing))  # type: ignore[return-value]  # of any channel

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        with self.switch.holding():
            return await result_of(self.sender.find(outgoing))  # type: ignore[return-value]  # as above

    async def open_dm(self, user_id: str) -> Address:
        with self.switch.holding():
            return await cast("DirectSender", self.sender).open_dm(user_id)

    async def typing(self, address: Address) -> None:
        with self.switch.holding():
            await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        with self.switch.holding():
            await self.sender.settled(address, platform_message_id, outcome)

    async def draft(self, address: Address, text: str) -> None:
        with self.switch.holding():
            await cast("DraftingSender", self.sender).draft(address, text)


@frozen
class _KillableIntake:
    intake: Intake
    switch: KillSwitch

    async def offer(self, event: Event) -> Routed:
        try:
            return await self.intake.offer(event)
        finally:
            if self.switch.tripped:
                await trio.sleep_forever()  # a dead host confirms nothing; the network ends the offer


# -- its files --------------------------------------------------------------------


@frozen
class Files:
    """The files that a host had written at one moment: `v2.db` and the sessions' inbound sides."""

    data: Path
    contents: dict[Path, bytes]

    @classmethod
    def of(cls, data: Path) -> "Files":
        """Read the files as they are now. This drops SQLite's locks, so it is only for the end of a host."""
        return cls(data, {path: path.read_bytes() for path in _written_by_host(data)})

    def put_back(self) -> None:
        """Restore the files in place. No writer may have them open."""
        for path in _written_by_host(self.data):
            if path not in self.contents:
                path.unlink()
        for path, content in self.contents.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


def _written_by_host(data: Path) -> list[Path]:
    found = [*data.glob("v2.db*"), *data.glob("sessions/*/*/inbound/**/*")]
    return sorted(path for path in found if path.is_file() and not path.name.endswith(SHARED_MEMORY))
