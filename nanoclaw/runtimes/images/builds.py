"""The images of an installation: which are there, which are being built, and why a build failed.

One image is built at a time, in the background. Meanwhile a session starts with what is there: an earlier
image of its agent, else that of all agents, else an earlier one of all agents.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog
import trio
from attrs import Factory, define, evolve, field, frozen

from nanoclaw.runtimes.images.building import Build, BuildFailed, Progress, Report
from nanoclaw.runtimes.images.context import agent_context, base_context
from nanoclaw.runtimes.images.names import agent_image, agent_images, base_image, is_base
from nanoclaw.runtimes.images.recipe import Recipe
from nanoclaw.runtimes.protocol import Packages, RunnerSpec

FIRST_RETRY_S, LONGEST_RETRY_S = 600.0, 21_600.0
"""Bounds of the delay before a failed build is tried again, which doubles."""
BASE_LABEL, AGENT_LABEL = "nanoclaw.image", "nanoclaw.agent"
BY_HAND = "correct that and run `nanoclaw image build`"

_log = structlog.get_logger()


class Builder(Protocol):
    """An engine, as far as images are concerned."""

    async def images(self) -> Mapping[str, float]:
        """Return the names of our images, with the time of their creation in seconds since 1970."""
        ...

    async def build(self, wanted: Build, report: Report, /) -> None:
        """Build an image. Raises BuildFailed."""
        ...


@frozen
class Order:
    """A wanted image."""

    image: str
    purpose: str
    """The image in words, such as `the image of all agents`."""
    make: Callable[[], Build]
    """Returns what to build. Blocking: it reads the files of the context."""


@frozen
class Failure:
    """The end of a build that failed."""

    reason: str
    retry_at: float
    """The time of trio's clock."""
    delay_s: float


class ImageMissing(Exception):
    """There is no image to start with yet. The text says what is done about it. `built`: it will come."""

    def __init__(self, reason: str, *, built: bool) -> None:
        super().__init__(reason)
        self.built = built


@define(eq=False)
class Images:
    """Finds the image for each runner, and has missing ones built."""

    builder: Builder
    recipe: Recipe
    install_id: str = ""
    """The id of the host's installation, which names the images of its agents."""
    configured: str | None = None
    """The image that the owner has named in place of ours. It is never built."""
    came: trio.Event = Factory(trio.Event)
    """Set when an image has been built. Then there is another one, for the next image."""
    _there: Mapping[str, float] = field(factory=dict, init=False)
    _queue: dict[str, Order] = field(factory=dict, init=False)
    _failures: dict[str, Failure] = field(factory=dict, init=False)
    _building: tuple[Order, Progress] | None = field(default=None, init=False)
    _more: trio.Event = Factory(trio.Event)
    _own: Order | None = field(default=None, init=False)

    async def refresh(self) -> None:
        """Ask the engine which images are there. The builder's errors pass."""
        self._there = await self.builder.images()

    async def serve(self) -> None:
        """Build what is wanted, until cancelled."""
        while True:
            order = await self._next()
            await self._take(order)

    async def image_for(self, spec: RunnerSpec) -> str:
        """Return the image to start a runner with.

        Raises:
            ImageMissing: there is none yet.
        """
        base = await self._base(spec)
        if spec.packages == Packages():
            return base
        folder = spec.workspace.parent.name
        order = self.of_agent(folder, base, spec.packages)
        if self.has(order):
            return order.image
        self._want(order)
        beginning = agent_images(self.install_id, folder)
        return self._newest(lambda name: name.startswith(beginning)) or base

    def has(self, order: Order) -> bool:
        """Return True if the image was there when the engine was asked last."""
        return order.image in self._there

    async def _base(self, spec: RunnerSpec) -> str:
        if (named := spec.image or self.configured) is not None:
            return named
        order = await self.own()
        if self.has(order):
            return order.image
        self._want(order)
        if (earlier := self._newest(is_base)) is not None:
            return earlier
        raise self._missing(order)

    def from_base(self, base_image: str) -> "Images":
        """Return the same images, built from another base, with the same names. Blocking. Raises OSError."""
        own = own_order(self.recipe)
        other = Images(self.builder, evolve(self.recipe, base_image=base_image), self.install_id)
        other._own = evolve(own, make=lambda: evolve(own_order(other.recipe).make(), image=own.image))
        return other

    async def want_own(self) -> None:
        """Have the image of all agents built if it is missing. Raises OSError, ResourceMissing."""
        if self.configured is None and not self.has(order := await self.own()):
            self._want(order)

    async def own(self) -> Order:
        """Return the order of the image of all agents."""
        if self._own is None:
            self._own = await trio.to_thread.run_sync(own_order, self.recipe)
        return self._own

    def of_agent(self, folder: str, base: str, packages: Packages) -> Order:
        """Return the order of an agent's own image, which is built from `base`."""
        context = agent_context(base, packages, self.recipe)
        image = agent_image(self.install_id, folder, context)
        return Order(
            image,
            f"the image of {folder}",
            lambda: Build(image, context, {AGENT_LABEL: folder}, self.recipe.build_network),
        )

    def _newest(self, counts: Callable[[str], bool]) -> str | None:
        found = filter(counts, self._there)
        return max(found, key=lambda name: self._there[name], default=None)

    # -- building

    def _want(self, order: Order) -> None:
        failure = self._failures.get(order.image)
        if failure is None or failure.retry_at <= trio.current_time():
            self._queue.setdefault(order.image, order)
            self._more.set()

    async def _next(self) -> Order:
        while not self._queue:
            self._more = trio.Event()
            await self._more.wait()
        return self._queue[next(iter(self._queue))]

    async def build(self, order: Order, report: Report) -> None:
        """Build an image now. Raises BuildFailed, OSError."""
        build = await trio.to_thread.run_sync(order.make)
        await self.builder.build(build, report)
        await self.refresh()

    async def _take(self, order: Order) -> None:
        self._building = order, Progress("begins")
        try:
            _log.info("image.building", image=order.image, purpose=order.purpose)
            await self.build(order, partial(self._report, order))
        except (BuildFailed, OSError) as error:
            self._fail(order, str(error))
        else:
            self._failures.pop(order.image, None)
            _log.info("image.built", image=order.image, purpose=order.purpose)
            self.came.set()
            self.came = trio.Event()
        finally:
            self._building = None
            self._queue.pop(order.image, None)

    def _report(self, order: Order, progress: Progress) -> None:
        if progress.step is not None:
            self._building = order, progress

    def _fail(self, order: Order, reason: str) -> None:
        before = self._failures.get(order.image)
        delay_s = FIRST_RETRY_S if before is None else min(2 * before.delay_s, LONGEST_RETRY_S)
        self._failures[order.image] = Failure(reason, trio.current_time() + delay_s, delay_s)
        _log.warning("image.build_failed", image=order.image, purpose=order.purpose, reason=reason)

    # -- words

    def _missing(self, order: Order) -> ImageMissing:
        failure = self._failures.get(order.image)
        if failure is not None and order.image not in self._queue:
            return ImageMissing(
                f"{order.purpose} could not be built: {failure.reason}; {BY_HAND}", built=False
            )
        return ImageMissing(self._building_text() or f"{order.purpose} is about to be built", built=True)

    def _building_text(self) -> str | None:
        if self._building is None:
            return None
        order, progress = self._building
        step = f", step {progress.step} of {progress.steps}" if progress.step is not None else ""
        return f"{order.purpose} is being built{step}"

    @property
    def problems(self) -> tuple[str, ...]:
        """What is being built, and what could not be built, in words."""
        building = self._building_text()
        failed = (
            f"{image} could not be built: {failure.reason}; {BY_HAND}"
            for image, failure in self._failures.items()
            if image not in self._queue
        )
        return (*((building,) if building else ()), *failed)


def own_order(recipe: Recipe) -> Order:
    """Return the order of the image of all agents. Blocking. Raises OSError, ResourceMissing."""
    context = base_context(recipe)
    image = base_image(context)
    return Order(
        image,
        "the image of all agents",
        lambda: Build(image, context, {BASE_LABEL: context.digest}, recipe.build_network),
    )
