"""Lists and builds images by a container engine."""

from collections.abc import Mapping
from typing import Any

import requests
import trio
from attrs import field, frozen
from docker.errors import APIError, DockerException

from nanoclaw.runtimes.docker.client import open_client
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import EngineError
from nanoclaw.runtimes.images import REPOSITORY, Build, BuildFailed, Progress, build
from nanoclaw.runtimes.images.building import ReportProgress

OF_PODMAN = "localhost/"
"""Podman puts this in front of the names of images that it has built."""
SILENCE_S = 1800
"""The longest time in which a build says nothing."""


@frozen
class EngineBuilder:
    """Builds images by an engine, each in a thread of its own.

    A cancelled build leaves its thread behind, which ends with the build or with the process.
    """

    engine: Engine
    _limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1))

    async def images(self) -> Mapping[str, float]:
        """Return the names of our images, with the time of their creation in seconds since 1970.

        Raises:
            EngineError: the engine is away.
        """
        found = await self.engine.call(lambda api: api.images(name=REPOSITORY))
        return {
            str(name).removeprefix(OF_PODMAN): float(each["Created"])
            for each in found
            for name in each["RepoTags"] or ()
        }

    async def build(self, wanted: Build, report: ReportProgress) -> None:
        """Build an image. Raises BuildFailed."""
        try:
            socket = self.engine.socket
        except EngineError as error:
            raise BuildFailed(str(error)) from error

        def in_thread() -> None:
            try:
                client: Any = open_client(socket, SILENCE_S)  # its stubs name each option
                with client:
                    build(client, wanted, tell)
            except APIError as error:
                raise BuildFailed(f"the container engine refused it: {error.explanation or error}") from error
            except (requests.RequestException, DockerException, OSError) as error:
                raise BuildFailed(f"the container engine at {socket} was lost: {error}") from error

        def tell(progress: Progress) -> None:
            trio.from_thread.run_sync(report, progress)

        await trio.to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=self._limiter)
