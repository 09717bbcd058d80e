"""The images of an installation: which are there, which are being built, and why a build failed.

One image is built at a time, in the background. Meanwhile a session starts with what is there: an earlier
image of its agent, else that of all agents, else an earlier one of all agents.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import trio
from attrs import Factory, define, evolve, field, frozen

from nanoclaw.runtimes.backlog import Backlog, Report, Words, Work
from nanoclaw.runtimes.images.building import Build, Progress, ReportProgress
from nanoclaw.runtimes.images.context import agent_context, base_context
from nanoclaw.runtimes.images.names import agent_image, base_image, is_base, is_of_agent, is_of_installation
from nanoclaw.runtimes.images.recipe import Recipe
from nanoclaw.runtimes.protocol import Packages, RunnerSpec
from nanoclaw.system.resources import ResourceMissing

BASE_LABEL, AGENT_LABEL = "nanoclaw.image", "nanoclaw.agent"
WORDS = Words(
    "image.building",
    "image.built",
    "image.build_failed",
    "is being built",
    "could not be built",
    "correct that and run `nanoclaw image build`",
)


class Builder(Protocol):
    """An engine, as far as images are concerned."""

    async def images(self) -> Mapping[str, float]:
        """Return the names of our images, with the time of their creation in seconds since 1970."""
        ...

    async def build(self, wanted: Build, report: ReportProgress, /) -> None:
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
    """Set when there is a new image. Then there is another event, for the next one."""
    _there: Mapping[str, float] = field(factory=dict, init=False)
    _backlog: Backlog = field(default=Factory(lambda: Backlog(WORDS)), init=False)
    _own: Order | None = field(default=None, init=False)
    _unmade: str | None = field(default=None, init=False)
    """The reason why it is not known what the image of all agents is built from."""

    async def refresh(self) -> None:
        """Ask the engine which images are there. The builder's errors pass."""
        before, self._there = self._there, await self.builder.images()
        if self._there.keys() - before.keys():
            self._tell()
        self._backlog.drop(self._there.__contains__)  # it was built by hand

    async def serve(self) -> None:
        """Build what is wanted, until cancelled."""
        await self._backlog.serve()

    async def image_for(self, spec: RunnerSpec) -> str:
        """Return the image to start a runner with.

        Raises:
            ImageMissing: there is none yet.
        """
        base = await self._base(spec)
        folder = spec.workspace.parent.name
        order = None
        if spec.packages != Packages():
            order = await trio.to_thread.run_sync(self._of_agent, folder, base, spec.packages)
        wanted = None if order is None else order.image
        self._backlog.drop(lambda image: image != wanted and self._is_of(folder, image))
        if order is None or self.has(order):
            return wanted or base
        self._want(order)
        return self._newest(partial(self._is_of, folder)) or base

    async def prepare(self, spec: RunnerSpec) -> None:
        """Build the image of an agent with packages, unless it is there. Return when it is.

        Raises:
            ImageMissing: it cannot be built, or the image that it is built from is missing.
        """
        base = await self._base(spec)
        if spec.packages == Packages():
            return
        order = await trio.to_thread.run_sync(self._of_agent, spec.workspace.parent.name, base, spec.packages)
        if self.has(order):
            return
        reason = await self._backlog.finish(self._work(order))
        if not self.has(order):
            raise ImageMissing(reason or f"{order.purpose} is missing again", built=False)

    def _of_agent(self, folder: str, base: str, packages: Packages) -> Order:
        try:
            return self.of_agent(folder, base, packages)
        except OSError as error:
            raise ImageMissing(f"the image of {folder} cannot be built: {error}", built=False) from error

    def _is_of(self, folder: str, image: str) -> bool:
        return is_of_agent(image, self.install_id, folder)

    def has(self, order: Order) -> bool:
        """Return True if the image was there when the engine was asked last."""
        return order.image in self._there

    def useless(self, base: str, agents: Mapping[str, str]) -> Sequence[str]:
        """Return our images besides the wanted ones. `agents` has the wanted image by the agent's folder.

        While a wanted one is missing, the earlier ones stay in its place. The images of other installations'
        agents are none of ours.
        """
        waiting = [folder for folder, image in agents.items() if image not in self._there]

        def is_useless(image: str) -> bool:
            if image in {base, *agents.values()}:
                return False
            if is_base(image):
                return base in self._there
            ours = is_of_installation(image, self.install_id)
            return ours and not any(self._is_of(folder, image) for folder in waiting)

        return sorted(filter(is_useless, self._there))

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
        """Have the image of all agents built if it is missing."""
        with suppress(ImageMissing):  # then `problems` says so
            if self.configured is None and not self.has(order := await self.own()):
                self._want(order)

    async def own(self) -> Order:
        """Return the order of the image of all agents.

        Raises:
            ImageMissing: the files that it is built from cannot be read.
        """
        if self._own is None:
            try:
                self._own = await trio.to_thread.run_sync(own_order, self.recipe)
            except (OSError, ResourceMissing) as error:
                self._unmade = f"the image of all agents cannot be built: {error}"
                raise ImageMissing(self._unmade, built=False) from error
        self._unmade = None
        return self._own

    def of_agent(self, folder: str, base: str, packages: Packages) -> Order:
        """Return the order of an agent's own image, which is built from `base`. Blocking. Raises OSError."""
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
        self._backlog.want(self._work(order))

    def _work(self, order: Order) -> Work:
        async def work(report: Report) -> None:
            await self.build(order, partial(_report_step, report))

        return Work(order.image, order.purpose, work)

    async def build(self, order: Order, report: ReportProgress) -> None:
        """Build an image now. Raises BuildFailed, OSError."""
        build = await trio.to_thread.run_sync(order.make)
        await self.builder.build(build, report)
        newest = 1 + max(self._there.values(), default=0.0)  # until the engine is asked again
        self._there = {**self._there, order.image: newest}
        self._tell()

    def _tell(self) -> None:
        self.came.set()
        self.came = trio.Event()

    def _missing(self, order: Order) -> ImageMissing:
        if (failed := self._backlog.failure(order.image)) is not None:
            return ImageMissing(failed, built=False)
        return ImageMissing(self._backlog.present or f"{order.purpose} is about to be built", built=True)

    async def idle(self) -> None:
        """Wait until all that was wanted is built, or could not be."""
        await self._backlog.idle()

    @property
    def problems(self) -> tuple[str, ...]:
        """The builds that are running, and those that have failed, in words."""
        return tuple(filter(None, [self._unmade, *self._backlog.problems]))


def _report_step(report: Report, progress: Progress) -> None:
    if progress.step is not None:
        report(f"step {progress.step} of {progress.steps}")


def own_order(recipe: Recipe) -> Order:
    """Return the order of the image of all agents. Blocking. Raises OSError, ResourceMissing."""
    context = base_context(recipe)
    image = base_image(context)
    return Order(
        image,
        "the image of all agents",
        lambda: Build(image, context, {BASE_LABEL: context.digest}, recipe.build_network),
    )
