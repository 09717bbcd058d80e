"""The parts that a host is made of: what `open_host` is given, checked."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from inspect import iscoroutinefunction
from random import Random

from attrs import Factory, evolve, frozen

from nanoclaw.approvals.catalogue import ApprovalKinds, BadKind
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import ApprovalKind
from nanoclaw.channels.faults import faults
from nanoclaw.channels.protocol import Channel
from nanoclaw.config import Config, ConfigError
from nanoclaw.dispatch import ActionHandler
from nanoclaw.dispatch.approval_requests import approval_requests
from nanoclaw.gateway import Internet, LocalDoors, ModelServers
from nanoclaw.host_effects import installation_of
from nanoclaw.recording import Recorder
from nanoclaw.records import AGENT
from nanoclaw.runtimes import Runtime, configured_runtime, require_provider
from nanoclaw.session.actions import LOCAL_ACTIONS
from nanoclaw.store import Executor, ThreadExecutor
from nanoclaw.system.clock import Clock, SystemClock
from nanoclaw.system.wakeups import Wakeups, open_wakeups


class HostFailed(Exception):
    """The host cannot run. The text says what is wrong and what to do."""


@frozen
class Seams:
    """The seams, and the wake-ups that belong to the executor. The defaults are for production."""

    executor: Executor = Factory(ThreadExecutor)
    """Runs calls of the store."""
    clock: Clock = Factory(SystemClock)
    """The date, and its jumps."""
    random: Random = Factory(secrets.SystemRandom)
    """The source of ids and jitter."""
    runtime: Runtime | None = None
    """None stands for the configured runtime."""
    wakeups: Callable[[], AbstractContextManager[Wakeups]] = open_wakeups
    """Opens the source of wake-ups by commits."""
    models: ModelServers | None = None
    """Asks the servers of models. None stands for HTTP."""
    internet: Internet | None = None
    """Resolves names and connects for sandboxes. None stands for the internet of this machine."""
    doors: LocalDoors | None = None
    """The doors of the gateway for a runtime whose runners are tasks. None stands for sockets."""


@frozen
class Parts:
    """The parts of one host. `Parts.of` checks that they fit together."""

    config: Config
    seams: Seams
    runtime: Runtime
    channels: Mapping[str, Channel]
    """By type."""
    actions: Mapping[str, ActionHandler]
    """The handlers of requests that agents may make to the host, by name."""
    begin_anew: bool
    """True to begin with an empty `v2.db` if that file is lost."""
    installation: Installation
    """What kinds of approvals read of this host."""
    approvals: ApprovalKinds
    """The kinds of approvals."""
    recorder: Recorder | None = None

    @classmethod
    def of(  # noqa: PLR0913 -- the parts, in the order of `open_host`
        cls,
        config: Config,
        channels: Sequence[Channel],
        seams: Seams,
        actions: Mapping[str, ActionHandler],
        kinds: Sequence[ApprovalKind] = (),
        *,
        begin_anew: bool,
    ) -> "Parts":
        """Return the parts of a host.

        Raises:
            HostFailed: a part cannot be used. The text says why.
        """
        runtime = _runtime(seams.runtime, config)
        by_type = _by_type(channels)
        _check_actions(actions)
        try:
            installation = installation_of(config, seams.clock, runtime)
            approvals = ApprovalKinds.of(installation, kinds)
        except BadKind as error:
            raise HostFailed(str(error)) from error
        _check_actions(requests := approval_requests(approvals, seams.clock))
        if twice := ", ".join(sorted(actions.keys() & requests.keys())):
            raise HostFailed(f"{twice} are kinds of approvals: give the action another name")
        return cls(
            config, seams, runtime, by_type, {**requests, **actions}, begin_anew, installation, approvals
        )

    def recorded(self, recorder: Recorder | None) -> "Parts":
        """Return the parts wrapped by a recorder, or these parts if there is none."""
        if recorder is None:
            return self
        clock, random = recorder.recorded_clock(), recorder.random(self.seams.random)
        return evolve(
            self,
            seams=evolve(self.seams, clock=clock, random=random),
            runtime=recorder.runtime(self.runtime),
            channels=recorder.channels(self.channels),
            recorder=recorder,
        )


def _runtime(given: Runtime | None, config: Config) -> Runtime:
    """Return the given or configured runtime. It must be able to run the configured provider."""
    try:
        runtime = given or configured_runtime(config)
        require_provider(config, runtime)
    except ConfigError as error:
        raise HostFailed(str(error)) from error
    return runtime


def _by_type(channels: Sequence[Channel]) -> Mapping[str, Channel]:
    for channel in channels:
        wrong = next(faults(channel), None)
        if wrong is not None:
            raise HostFailed(f"the channel of class {type(channel).__name__} cannot be used: {wrong}")
    by_type = {channel.channel_type: channel for channel in channels}
    if len(by_type) < len(channels):
        names = [channel.channel_type for channel in channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise HostFailed(
            f"two channels have the same channel_type, {', '.join(twice)}: give each a name of its own"
        )
    if AGENT in by_type:
        raise HostFailed(
            f"channel_type {AGENT!r} is reserved for messages between agents: give the channel another name"
        )
    return by_type


def _check_actions(actions: Mapping[str, ActionHandler]) -> None:
    taken = ", ".join(sorted(LOCAL_ACTIONS & actions.keys()))
    if taken:
        raise HostFailed(f"sessions perform {taken} themselves: give the action another name")
    for name, handler in actions.items():
        if iscoroutinefunction(handler) or not callable(handler):
            raise HostFailed(
                f"the handler of the action {name!r} must be a plain function of a connection, not async"
            )
