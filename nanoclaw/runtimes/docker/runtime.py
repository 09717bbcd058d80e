"""The `docker` runtime: each runner in a container that outlives its host and is adopted by the next one."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
import trio
from attrs import Factory, define, evolve, field

from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.container import (
    INSTALL,
    SESSION,
    ContainerSpec,
    EngineKind,
    Json,
    container_name,
    mount_points,
    resolved,
)
from nanoclaw.runtimes.docker.engine import CALL_S, Engine
from nanoclaw.runtimes.docker.errors import EngineAway, EngineError, NameTaken, NotThere, start_failed
from nanoclaw.runtimes.docker.kept import KeptOutput
from nanoclaw.runtimes.docker.meanwhile import StopAfter, for_another, working
from nanoclaw.runtimes.docker.output import Output, followed
from nanoclaw.runtimes.docker.runner import GIVE_UP_S, ContainerRunner, drop_lifeline, hold_lifeline
from nanoclaw.runtimes.docker.seccomp import profile
from nanoclaw.runtimes.docker.watch import ANSWER_S, Changes, Watch
from nanoclaw.runtimes.images import ImageMissing, Images, Recipe
from nanoclaw.runtimes.known_providers import ANY_PROVIDER, KnownProviders
from nanoclaw.runtimes.mount_points import make_mount_points
from nanoclaw.runtimes.ownership import Handover
from nanoclaw.runtimes.protocol import (
    WORKSPACE,
    Death,
    KeptLine,
    NotNow,
    Runner,
    RunnerSpec,
    Runtime,
    RuntimeState,
    StartFailed,
)
from nanoclaw.runtimes.stderr import StderrLog
from nanoclaw.system.foreign import ungrouped
from nanoclaw.system.sandbox_user import sandbox_owner

RECOVER_TIMEOUT_S = 30.0
MOST_CLAIMS = 3
"""How often a container's name is claimed, if another one has it."""
CLEAN_UP_S = 3.0
"""The longest time that a cancelled start takes to remove its container."""

_log = structlog.get_logger()


def _handover() -> Handover | None:
    owner = sandbox_owner()
    return None if owner is None else Handover(owner)


@define(eq=False)
class DockerRuntime:
    """Runs runners in containers of an engine on this machine."""

    engine: Engine
    grace_s: float = 1.5
    images: Images = field(
        default=Factory(lambda self: Images(EngineBuilder(self.engine), Recipe()), takes_self=True),
        kw_only=True,
    )
    """The images of this engine, and their builds."""
    meanwhile: Sequence[Runtime] = ()
    """The first of these that works runs agents for as long as the first image is being built."""
    lifeline_s: float = 600.0
    """Seconds without its host after which a runner ends."""
    known: KnownProviders = ANY_PROVIDER
    """The providers that there are."""
    name: str = "docker"
    isolates: bool = True
    install_id: str | None = None
    """The id of the host's installation. None until it is served."""
    watch: Watch = field(
        default=Factory(lambda self: Watch(self.engine, self._look), takes_self=True), init=False
    )
    kept: KeptOutput = field(
        default=Factory(lambda self: KeptOutput(self.engine), takes_self=True), init=False
    )
    """The last output of containers."""
    runners: set[ContainerRunner] = field(factory=set, init=False)
    """The containers that this host follows."""
    _handover: Handover | None = field(factory=_handover, init=False)
    _kind: EngineKind = field(factory=EngineKind, init=False)
    _kind_of: int | None = field(default=None, init=False)
    """The number of losses after which the kind was asked for. Another engine may have come since."""
    _busy: set[str] = field(factory=set, init=False)
    """The sessions whose containers a task of this host starts, follows or ends."""
    _unadopted: set[str] = field(factory=set, init=False)
    """The sessions whose containers outlived the last host, and which this host has not adopted yet."""

    @property
    def state(self) -> RuntimeState:
        """The state of the engine, as it was last seen, and what is wrong with images."""
        found = self.watch.state
        return evolve(found, text="; ".join((found.text, *self.images.problems)))

    async def serve(self, install_id: str) -> None:
        """Watch the engine, build missing images, and remove the remains of containers.

        On cancellation, the survivors that were not adopted are stopped: a host that stops leaves no runner.
        """
        self.install_id = self.images.install_id = install_id
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.images.serve)
                await self.watch.run(install_id)
        finally:
            if _is_cancelled():
                await self._stop_survivors(*self._unadopted)

    async def prepare(self, spec: RunnerSpec) -> None:
        """Build the image for a specification.

        Raises:
            NotNow: the engine is away, or the image of all agents is being built.
            StartFailed: it cannot be built.
        """
        with trio.move_on_after(ANSWER_S):
            await self.watch.asked.wait()
        if not self.watch.state.ready or self.install_id is None:
            raise NotNow(self.watch.state.text)
        try:
            await self.images.prepare(spec)
        except ImageMissing as missing:
            raise (NotNow if missing.built else StartFailed)(str(missing)) from missing

    def refusal(self, provider: str) -> str | None:
        """Return why no runner has such a provider. All that there are may run in a container."""
        return None if provider in self.known else self.known.unusable(provider)

    def unhonoured(self, _spec: RunnerSpec) -> Mapping[str, str]:
        """Return nothing: a container honours every part."""
        return {}

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Adopt or start a container, report it started, and return when it is gone.

        Raises:
            NotNow: the engine is away or full, or the image is missing.
            StartFailed: the engine refused the container. The text has its words.
        """
        try:
            async with self._survivor_stops_on_cancellation(spec.session_id):
                container = await self._prepared(spec)
        except ImageMissing as missing:
            return await self._meanwhile(spec, missing, task_status)
        async with self._for_session(spec):
            async with self._survivor_stops_on_cancellation(spec.session_id):
                container_id, adopted = await self._claimed(container, spec.command[1:], adopts=True)
            self._unadopted.discard(spec.session_id)
            with self.watch.watching(container_id) as changes:
                if not adopted:
                    await self._start(container, container_id)
                runner = self._runner(container, container_id, changes, adopted=adopted)
                self.runners.add(runner)
                try:
                    return await runner.live(task_status)
                finally:
                    self.runners.discard(runner)

    async def survivors(self) -> Sequence[str]:
        """Return the sessions of this installation with a running container that this host does not follow.

        Raises:
            NotNow: the engine is away.
        """
        with trio.move_on_after(ANSWER_S):
            await self.watch.asked.wait()
        try:
            found = await self._containers()
        except EngineError as error:
            raise start_failed(error) from error
        running = (each["Labels"][SESSION] for each in found if each["State"] == "running")
        survivors = [session for session in running if session not in self._busy]
        self._unadopted.update(survivors)
        return survivors

    async def recover(self, spec: RunnerSpec) -> None:
        """Run a container once with `recover`: same user, same mounts, no network.

        Raises:
            StartFailed: it failed, or took longer than `RECOVER_TIMEOUT_S`.
        """
        try:
            container = await self._prepared(spec)
        except ImageMissing as missing:
            if (other := await working(self.meanwhile)) is None:
                raise NotNow(str(missing)) from missing
            await other.recover(for_another(other, spec))
            return
        async with self._for_session(spec):
            container_id, _ = await self._claimed(container, (*spec.command[1:], "recover"), adopts=False)
            code, log = await self._run_once(container, container_id)
        if code != 0:
            said = log.failure or "\n  ".join(log.last_words)
            raise StartFailed(
                f"outbound.db could not be recovered: the runner ended with status {code}: {said}"
            )

    async def output(self, session_id: str) -> Sequence[KeptLine]:
        """Return the end of the output of a session's containers. Raises NotNow."""
        return await self.kept.of(session_id, container_name(self.install_id or "", session_id))

    @asynccontextmanager
    async def _for_session(self, spec: RunnerSpec) -> AsyncIterator[None]:
        """Keep a session's container from being taken for remains. Raise EngineError as StartFailed."""
        self._busy.add(spec.session_id)
        try:
            with ungrouped(EngineError):
                yield
        except EngineError as error:
            self.watch.doubt(error)
            raise start_failed(error) from error
        finally:
            self._busy.discard(spec.session_id)

    # -- survivors

    @asynccontextmanager
    async def _survivor_stops_on_cancellation(self, session_id: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if _is_cancelled() and session_id in self._unadopted:
                await self._stop_survivors(session_id)

    async def _stop_survivors(self, *sessions: str) -> None:
        """Stop and remove the containers of sessions that no task follows, also if this is cancelled.

        An engine that hangs does not hold up the host: each container then ends by its lifeline.
        """
        with trio.move_on_after(self.grace_s + GIVE_UP_S, shield=True):
            async with trio.open_nursery() as nursery:
                for session_id in sessions:
                    nursery.start_soon(self._stop_survivor, session_id)

    async def _stop_survivor(self, session_id: str) -> None:
        self._unadopted.discard(session_id)
        with suppress(EngineError):
            found = await self._found(container_name(self.install_id or "", session_id))
            if found is not None:
                _log.info("runtime.survivor_stopped", session=session_id)
                await self._stop(found)

    # -- starting

    async def _prepared(self, spec: RunnerSpec) -> ContainerSpec:
        """Return what to ask the engine for, once all folders exist. Raises StartFailed, ImageMissing."""
        with trio.move_on_after(ANSWER_S):
            await self.watch.asked.wait()  # a host begins to ask when it starts
        if not self.watch.state.ready or self.install_id is None:
            raise NotNow(self.watch.state.text)
        image = await self.images.image_for(spec)
        container = ContainerSpec(self.install_id, resolved(spec, image), self.lifeline_s, self._kind)
        try:
            await trio.to_thread.run_sync(self._make_folders, container)
        except OSError as error:
            raise StartFailed(f"a folder of the session cannot be prepared: {error}") from error
        return container

    def _make_folders(self, container: ContainerSpec) -> None:
        """Create what is missing of a session's folders, for their owner, and the lifeline. Blocking.

        Raises:
            StartFailed: they cannot be used.
            OSError: likewise.
        """
        spec, paths = container.spec, container.spec.paths
        for folder in (paths.inbound_dir, paths.outbound_dir, paths.gateway_dir, spec.workspace):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_mount_points(paths.outbound_dir, mount_points(spec), sandbox_owner())
        hold_lifeline(container.lifeline)
        if self._kind.podman:
            container.filter_file.write_text(profile(), "ascii")
        if self._handover is not None:
            self._handover.give(spec)

    async def _meanwhile(
        self, spec: RunnerSpec, missing: ImageMissing, task_status: trio.TaskStatus[Runner]
    ) -> Death:
        """Run a runner without an image until one has been built. Raises StartFailed."""
        came = self.images.came  # before others run: the image may come at any time
        other = await working(self.meanwhile) if missing.built else None
        if other is None or other.refusal(spec.provider) is not None:
            raise NotNow(str(missing))
        _log.info("runtime.meanwhile", session=spec.session_id, runtime=other.name, reason=str(missing))
        with ungrouped(StartFailed):
            async with trio.open_nursery() as nursery:
                status = StopAfter(task_status, nursery, came)
                death = await other.run(for_another(other, spec), task_status=status)
                nursery.cancel_scope.cancel()
        return death

    async def _claimed(
        self, container: ContainerSpec, arguments: Sequence[str], *, adopts: bool
    ) -> tuple[str, bool]:
        """Create a container, unless one that fits runs already. Return its id, and if it is an adopted one.

        Another container of that name is stopped and removed. Raises EngineError.
        """
        body = container.request(arguments)
        for _ in range(MOST_CLAIMS):
            try:
                return await self._created(container, body), False
            except NameTaken:
                found = await self._found(container.name)
                if adopts and found is not None and _fits(found, container):
                    _log.info("runtime.adopted", session=container.spec.session_id)
                    return str(found["Id"]), True
                if found is not None:
                    await self._replace(found)
        raise EngineError(f"the name {container.name} stays taken; remove that container by hand")

    async def _created(self, container: ContainerSpec, body: Json) -> str:
        """Create a container. If that is cancelled, none is left behind. Raises EngineError."""
        try:
            made = await self.engine.call(
                lambda api: api.create_container_from_config(body, container.name), what=body["Image"]
            )
        except trio.Cancelled:
            await self._discard(container)
            raise
        return str(made["Id"])

    async def _start(self, container: ContainerSpec, container_id: str) -> None:
        """Start a created container, or remove it. Raises EngineError."""
        try:
            await self.engine.call(lambda api: api.start(container_id))
        except BaseException:
            await self._discard(container)
            raise

    async def _discard(self, container: ContainerSpec) -> None:
        """Remove a container whose start has failed or was cancelled. In any case it soon ends by itself."""
        drop_lifeline(container.lifeline)
        with trio.move_on_after(CLEAN_UP_S, shield=True), suppress(EngineError):
            await self.engine.call(lambda api: api.remove_container(container.name, v=True, force=True))

    async def _found(self, name: str) -> Json | None:
        try:
            return dict(await self.engine.call(lambda api: api.inspect_container(name)))
        except NotThere:
            return None

    async def _replace(self, found: Json) -> None:
        """Stop a container, which may commit what it works on, and remove it. Raises EngineError."""
        if found["State"]["Running"]:
            _log.info("runtime.replaced", session=found["Config"]["Labels"].get(SESSION))
        await self._stop(found)

    async def _stop(self, found: Json) -> None:
        """Stop a container if it runs, keep the end of its output, and remove it. Raises EngineError."""
        container_id, grace_s = found["Id"], self.grace_s
        if found["State"]["Running"]:
            with suppress(NotThere):
                await self.engine.call(
                    lambda api: api.stop(container_id, timeout=math.ceil(grace_s)), CALL_S + grace_s
                )
        await self.kept.keep(found["Config"]["Labels"].get(SESSION, ""), container_id)
        with suppress(NotThere):
            await self.engine.call(lambda api: api.remove_container(container_id, v=True, force=True))

    def _runner(
        self, container: ContainerSpec, container_id: str, changes: Changes, *, adopted: bool
    ) -> ContainerRunner:
        return ContainerRunner(
            container_id,
            container.spec.session_id,
            self.engine,
            self.watch,
            changes,
            container.lifeline,
            self.lifeline_s,
            self.grace_s,
            StderrLog(container.spec.session_id),
            self.kept,
            adopted,
        )

    async def _run_once(self, container: ContainerSpec, container_id: str) -> tuple[int, StderrLog]:
        """Start a container and wait for its end. Return its exit code and its output. Raises EngineError."""
        log = StderrLog(container.spec.session_id)
        try:
            await self.engine.call(lambda api: api.start(container_id))
            with trio.fail_after(RECOVER_TIMEOUT_S):
                async with self.engine.stream(followed(container_id, whole=True)) as pieces:
                    await log.drain(Output(pieces))
            ended = await self.engine.call(lambda api: api.wait(container_id), RECOVER_TIMEOUT_S)
            return int(ended["StatusCode"]), log
        except trio.TooSlowError as error:
            raise EngineError(f"recovering took longer than {RECOVER_TIMEOUT_S:g} s") from error
        finally:
            await self._discard(container)

    # -- the engine as a whole

    async def _containers(self) -> Sequence[Json]:
        """Return all containers of this installation, dead ones too. Raises EngineError."""
        label = f"{INSTALL}={self.install_id}"
        return list(
            await self.engine.call(lambda api: api.containers(all=True, filters={"label": label}), ANSWER_S)
        )

    async def _look(self) -> None:
        """Remove what nobody needs, and see which images there are. Raises EngineError."""
        if self._kind_of != self.watch.losses:
            info = await self.engine.call(lambda api: api.info(), ANSWER_S)
            self._kind = EngineKind.of(info, await self.engine.call(lambda api: api.version(), ANSWER_S))
            self._kind_of = self.watch.losses
        containers = await self._containers()
        self.watch.compare({each["Id"] for each in containers if each["State"] == "running"})
        for found in containers:
            if self._is_remains(found):
                await self.kept.keep(found["Labels"][SESSION], found["Id"])
                await self._remove(found["Id"])
        await self.images.refresh()
        await self.images.want_own()

    async def _remove(self, container_id: str) -> None:
        """Remove a container that nobody needs. What cannot be removed now is tried again later."""
        try:
            await self.engine.call(lambda api: api.remove_container(container_id, v=True, force=True))
        except EngineAway:
            raise
        except EngineError as error:
            _log.debug("runtime.remains", container=container_id, reason=str(error))

    def _is_remains(self, found: Json) -> bool:
        """Return True for a dead container, and for one whose session's folder is gone."""
        session = found["Labels"].get(SESSION)
        if session is None or session in self._busy:
            return False
        if found["State"] != "running":
            return True
        own = [Path(each["Source"]) for each in found["Mounts"] if each["Destination"] == str(WORKSPACE)]
        return bool(own) and not own[0].exists()


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == -math.inf


def _fits(found: Json, container: ContainerSpec) -> bool:
    """Return True if a container runs, and was made from the same specification."""
    labels = found["Config"]["Labels"]
    ours = all(labels.get(name) == value for name, value in container.labels.items())
    return ours and bool(found["State"]["Running"]) and not found["State"]["Paused"]
