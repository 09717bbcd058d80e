"""The `docker` runtime: each runner in a container that outlives its host and is adopted by the next one."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.runtimes.docker.container import INSTALL, LIFELINE, SESSION, SPEC, ContainerSpec, Json, resolved
from nanoclaw.runtimes.docker.engine import CALL_S, Engine
from nanoclaw.runtimes.docker.errors import (
    EngineError,
    ImageMissing,
    NameTaken,
    NotThere,
    missing_image,
    start_failed,
)
from nanoclaw.runtimes.docker.image import image_for, own_image
from nanoclaw.runtimes.docker.runner import ContainerRunner, hold_lifeline
from nanoclaw.runtimes.docker.watch import ANSWER_S, Watch
from nanoclaw.runtimes.ownership import hand_over
from nanoclaw.runtimes.protocol import (
    Death,
    NotNow,
    Packages,
    Runner,
    RunnerSpec,
    RuntimeState,
    StartFailed,
)
from nanoclaw.runtimes.stderr import StderrLog

RECOVER_TIMEOUT_S = 30.0
MOST_CLAIMS = 3
"""How often a container's name is claimed, if another one has it."""
CLEAN_UP_S = 3.0
"""The longest time that a cancelled start takes to remove its container."""
WORKING = "/workspace"
OCI_FAILED = ("exec", "executable file not found")

_log = structlog.get_logger()


@define(eq=False)
class DockerRuntime:
    """Runs runners in containers of an engine on this machine."""

    engine: Engine
    grace_s: float = 1.5
    image: str | None = None
    """The configured image. None stands for the one that this installation builds."""
    lifeline_s: float = 600.0
    name: str = "docker"
    isolates: bool = True
    install_id: str | None = None
    """The id of the host's installation. None until it is served."""
    watch: Watch = field(default=Factory(lambda self: Watch(self.engine, self._look), takes_self=True), init=False)
    runners: dict[str, ContainerRunner] = field(factory=dict, init=False)
    """The living runners of this host, by session."""
    _starting: set[str] = field(factory=set, init=False)
    """The names of containers that a task of this host is starting or ending."""
    _own_image: str | None = field(default=None, init=False)

    @property
    def state(self) -> RuntimeState:
        """The state of the engine, as it was last seen."""
        return self.watch.state

    async def serve(self, install_id: str) -> None:
        """Watch the engine, and remove the remains of containers whenever it is found."""
        self.install_id = install_id
        await self.watch.run(install_id)

    def refusal(self, _provider: str) -> str | None:
        """Return None: a container may run any provider."""
        return None

    def unhonoured(self, spec: RunnerSpec) -> Sequence[str]:
        """Return nothing but packages without an image of their own."""
        return ["packages"] if spec.packages != Packages() and spec.image is None else []

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Adopt or start a container, report it started, and return when it is gone.

        Raises:
            NotNow: the engine is away or full, or the image is missing.
            StartFailed: the engine refused the container. The text has its words.
        """
        container = await self._prepared(spec)
        self._starting.add(container.name)
        try:
            container_id, adopted = await self._claimed(container)
            with self.watch.watching(container_id) as changes:
                runner = self._runner(container, container_id, changes, adopted=adopted)
                if not adopted:
                    await self._started(container, container_id)
                self.runners[spec.session_id] = runner
                try:
                    return await runner.live(task_status)
                finally:
                    del self.runners[spec.session_id]
        except EngineError as error:
            self.watch.doubt(error)
            raise start_failed(error) from error
        finally:
            self._starting.discard(container.name)

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
        return [session for session in running if session not in self.runners]

    async def recover(self, spec: RunnerSpec) -> None:
        """Run a container once with `recover`: same user, same mounts, no network.

        Raises:
            StartFailed: it failed, or took longer than `RECOVER_TIMEOUT_S`.
        """
        container = await self._prepared(spec)
        self._starting.add(container.name)
        try:
            container_id = await self._created(container, (*spec.command[1:], "recover"))
            code, words = await self._run_once(container, container_id)
        except EngineError as error:
            self.watch.doubt(error)
            raise start_failed(error) from error
        finally:
            self._starting.discard(container.name)
        if code != 0:
            log = StderrLog(spec.session_id)
            log.read(words)
            said = log.failure or "\n  ".join(log.last_words)
            raise StartFailed(f"outbound.db could not be recovered: the runner ended with status {code}: {said}")

    # -- starting

    async def _prepared(self, spec: RunnerSpec) -> ContainerSpec:
        """Return what to ask the engine for, once all folders exist. Raises StartFailed."""
        if parts := ", ".join(self.unhonoured(spec)):
            raise StartFailed(f"the docker runtime cannot honour {parts} of the agent's container.json yet")
        if not self.state.ready or self.install_id is None:
            raise NotNow(self.state.text)
        container = ContainerSpec(
            self.install_id, resolved(spec, await self._image(spec)), self.lifeline_s
        )
        try:
            await trio.to_thread.run_sync(_make_folders, container)
        except OSError as error:
            raise StartFailed(f"a folder of the session cannot be prepared for its container: {error}") from error
        return container

    async def _image(self, spec: RunnerSpec) -> str:
        if self._own_image is None and self.image is None:
            self._own_image = await trio.to_thread.run_sync(own_image)
        return image_for(spec, self.image or self._own_image)

    async def _claimed(self, container: ContainerSpec) -> tuple[str, bool]:
        """Return the id of a container, and if it is an adopted one that runs."""
        found = await self._found(container.name) if container.spec.session_id in self._surviving else None
        if found is not None and _fits(found, container):
            _log.info("runtime.adopted", session=container.spec.session_id)
            return found["Id"], True
        return await self._created(container, container.spec.command[1:]), False

    async def _created(self, container: ContainerSpec, arguments: Sequence[str]) -> str:
        """Create a container, after removing another one of its name. Raises EngineError."""
        body = container.request(arguments)
        for _ in range(MOST_CLAIMS):
            try:
                made = await self.engine.call(
                    lambda api: api.create_container_from_config(body, container.name), what=body["Image"]
                )
            except NameTaken:
                await self._replace(container.name)
            else:
                return str(made["Id"])
        raise NameTaken(f"the name {container.name} stays taken: remove that container")
