"""The channels of a running host: starts, stops and reports them while the host runs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
import trio
from attrs import Factory, define, field

from actors import Node, Refusal, Stopped
from nanoclaw.channels.factory import RESERVED, make_channel
from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.receivers import Receivers
from nanoclaw.channels.secrets import LOOK_S, Mark, mark_of, secret_files
from nanoclaw.channels.senders import Senders
from nanoclaw.config import Config, ConfigError
from nanoclaw.records.status import ChannelReport
from nanoclaw.system.foreign import ForeignError

RECORDED = "this host is recorded, so its channels stay as they are; restart it without --record"
NOT_READ = "this host does not read its channels from a configuration; the program that runs it chooses them"
MISSING = Node("missing", "stopping")

_log = structlog.get_logger()


class ChannelNotChanged(Refusal):
    """A channel was not started or stopped. The text says why and what to do."""


@define(eq=False)
class LiveChannels:
    """Starts and stops channels by name. One change at a time."""

    config: Config
    """The last configuration that was read."""
    _senders: Senders
    _receivers: Receivers
    _hand_parts: Callable[[Channel], None]
    """Gives a channel its state and the agents. Raises ForeignError."""
    _reread: Callable[[], Config] | None
    """Reads the configuration again. Blocking. Raises ConfigError."""
    _refusal: str | None = None
    """Why no channel is started or stopped."""
    _changed: Callable[[], None] = field(default=lambda: None)
    """Called after a channel was started."""
    _running: dict[str, Channel] = Factory(dict)
    """The channels that run."""
    _lock: trio.Lock = Factory(trio.Lock)

    async def start(self, name: str) -> None:
        """Start a channel as the configuration has it now. One that runs is stopped first.

        Raises:
            ChannelNotChanged: it cannot be started.
        """
        if self._refusal or self._reread is None:
            raise ChannelNotChanged(self._refusal or NOT_READ)
        async with self._lock:
            self.config, channel = await trio.to_thread.run_sync(_made, self._reread, name)
            if name in self._senders.channel_types:
                await self._stop(name)
            self._hand(channel)
            self._add(channel)
            self._changed()
        _log.info("channels.started", channel=name)

    async def stop(self, name: str) -> None:
        """Stop a channel. Messages for it wait. The next start of the host starts it, if it is configured.

        Raises:
            ChannelNotChanged: it is not running, or cannot be stopped.
        """
        if self._refusal:
            raise ChannelNotChanged(self._refusal)
        if name in RESERVED:
            raise ChannelNotChanged(f"{name} is {RESERVED[name]}, which is always there")
        async with self._lock:
            if name not in self._senders.channel_types:
                raise ChannelNotChanged(f"the channel {name} is not running")
            await self._stop(name)
        _log.info("channels.stopped", channel=name)

    async def run(self) -> None:
        """Start channels again whose secret was refused, once its file is another one. Until cancelled."""
        while True:
            await self._senders.conditions.unauthorized()
            while before := {name: self._marks(name) for name in self._refused()}:
                await trio.sleep(LOOK_S)
                for name, marks in before.items():
                    if self._marks(name) != marks:
                        await self._again(name)

    def _refused(self) -> Sequence[str]:
        """Return the channels whose secret is refused, and is in a file."""
        refused = [name for name in self._running if self._senders.conditions.is_unauthorized(name)]
        return [name for name in refused if self._marks(name)]

    def _marks(self, name: str) -> Mapping[Path, Mark]:
        table = self.config.channels.get(name)
        files = frozenset[Path]() if table is None else secret_files(table.values, self.config.home)
        return {file: mark_of(file) for file in files}

    async def _again(self, name: str) -> None:
        """Connect a channel anew."""
        async with self._lock:
            channel = self._running.get(name)
            if channel is not None:
                _log.info("channels.secret_changed", channel=name)
                await self._stop(name)
                with suppress(ChannelNotChanged):  # the host is stopping
                    self._add(channel)

    def _add(self, channel: Channel) -> None:
        try:
            self._senders.add(channel)
            self._receivers.add(channel)
        except Stopped as error:
            raise ChannelNotChanged("the host is stopping") from error
        self._running[channel.channel_type] = channel

    async def _stop(self, name: str) -> None:
        self._running.pop(name, None)
        with trio.CancelScope(shield=True):  # both halves, or none: supervisors bound the time
            await self._receivers.remove(name)
            await self._senders.remove(name)

    def _hand(self, channel: Channel) -> None:
        try:
            self._hand_parts(channel)
        except ForeignError as error:
            raise ChannelNotChanged(
                f"the channel {channel.channel_type} cannot be used: its use_state() or use_agents() failed: "
                f"{error}"
            ) from error

    def reports(self) -> Sequence[ChannelReport]:
        """Return the state of each channel, without the deliveries that wait for it."""
        senders, receivers = self._senders.nodes(), self._receivers.nodes()
        return [self._report(node, receivers.get(name, MISSING)) for name, node in senders.items()]

    def _report(self, sender: Node, receiver: Node) -> ChannelReport:
        table = self.config.channels.get(sender.name)
        trouble = self._senders.conditions.of(
            sender.name, sender_runs=sender.state == "running", receiver_runs=receiver.state == "running"
        )
        stands = {sender.state, receiver.state} != {"running"}
        return ChannelReport(
            sender.name,
            sender.state,
            receiver.state,
            receiver.last_crash or sender.last_crash,
            type=str(table.type) if table is not None else "",
            condition=trouble.condition if trouble is not None else "starting" if stands else None,
            reason=trouble.reason if trouble is not None else None,
            since=trouble.since if trouble is not None else None,
        )


def _made(reread: Callable[[], Config], name: str) -> tuple[Config, Channel]:
    """Read the configuration, and make a channel. Blocking: packages are imported."""
    try:
        config = reread()
        return config, make_channel(config, name)
    except ConfigError as error:
        raise ChannelNotChanged("; ".join(error.problems)) from error
