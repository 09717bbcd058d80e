"""Which image a runner starts with, and what is built meanwhile. The engine is a fake."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import Factory, define, evolve

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes.backlog import FIRST_RETRY_S
from nanoclaw.runtimes.images import Build, BuildFailed, ImageMissing, Images, Progress, Recipe
from nanoclaw.runtimes.images.building import ReportProgress
from nanoclaw.runtimes.protocol import Packages, RunnerSpec

SPEC = RunnerSpec("sess-1", SessionPaths(Path("/data/s")), Path("/groups/main/workspace"), "echo", {})
WITH_RICH = evolve(SPEC, packages=Packages(pip=("rich",)))
WITH_MORE = evolve(SPEC, packages=Packages(pip=("rich", "httpie")))


@define(eq=False)
class FakeBuilder:
    """An engine whose builds wait for `go`, and fail with the reason that is set."""

    there: dict[str, float] = Factory(dict)
    builds: list[Build] = Factory(list)
    failure: str | None = None
    begun: trio.Event = Factory(trio.Event)
    go: trio.Event = Factory(trio.Event)

    async def images(self) -> Mapping[str, float]:
        return dict(self.there)

    async def build(self, wanted: Build, report: ReportProgress) -> None:
        self.builds.append(wanted)
        report(Progress("RUN something", 2, 7))
        self.begun.set()
        await self.go.wait()
        if self.failure is not None:
            raise BuildFailed(self.failure)
        self.there[wanted.image] = float(len(self.builds))


@pytest.fixture
def builder() -> FakeBuilder:
    return FakeBuilder()


@pytest.fixture
async def images(builder: FakeBuilder, nursery: trio.Nursery) -> Images:
    images = Images(builder, Recipe(), "install-1")
    nursery.start_soon(images.serve)
    return images


async def built(images: Images, builder: FakeBuilder) -> None:
    """Let the present build end, well or not. A thread reads its files before it begins."""
    await builder.begun.wait()
    builder.go.set()
    await images.idle()
    builder.begun, builder.go = trio.Event(), trio.Event()


async def test_a_missing_image_is_built_and_its_runners_are_told(
    images: Images, builder: FakeBuilder
) -> None:
    with pytest.raises(ImageMissing, match="the image of all agents is about to be built") as caught:
        await images.image_for(SPEC)
    assert caught.value.built
    await builder.begun.wait()
    assert list(images.problems) == ["the image of all agents is being built, step 2 of 7"]
    await built(images, builder)
    assert await images.image_for(SPEC) == builder.builds[0].image
    assert list(images.problems) == []


async def test_a_failed_build_is_told_and_tried_again_later(
    images: Images, builder: FakeBuilder, mock_clock: trio.testing.MockClock
) -> None:
    builder.failure = "no space left"
    with pytest.raises(ImageMissing):
        await images.image_for(SPEC)
    await built(images, builder)
    with pytest.raises(
        ImageMissing, match="could not be built: no space left; correct that and run"
    ) as caught:
        await images.image_for(SPEC)
    assert not caught.value.built
    assert len(builder.builds) == 1
    mock_clock.jump(FIRST_RETRY_S)
    builder.failure = None
    with pytest.raises(ImageMissing):
        await images.image_for(SPEC)
    await built(images, builder)
    assert await images.image_for(SPEC) == builder.builds[1].image


async def test_an_agent_starts_with_the_image_of_all_while_its_own_is_built(
    images: Images, builder: FakeBuilder
) -> None:
    await images.want_own()
    await built(images, builder)
    base = await images.image_for(SPEC)
    assert await images.image_for(WITH_RICH) == base
    await built(images, builder)
    own = await images.image_for(WITH_RICH)
    assert own != base
    assert own.startswith("nanoclaw-agent:install-1-main-")


async def test_an_agent_keeps_its_image_when_the_next_one_cannot_be_built(
    images: Images, builder: FakeBuilder
) -> None:
    await images.want_own()
    await built(images, builder)
    await images.image_for(WITH_RICH)
    await built(images, builder)
    earlier, builder.failure = await images.image_for(WITH_RICH), "there is no package httpie"
    assert await images.image_for(WITH_MORE) == earlier
    await built(images, builder)
    assert await images.image_for(WITH_MORE) == earlier
    [problem] = images.problems
    assert "could not be built: there is no package httpie" in problem


async def test_an_image_can_be_built_before_its_agent_wants_it(images: Images, builder: FakeBuilder) -> None:
    await images.want_own()
    await built(images, builder)
    builder.go.set()
    for _ in range(2):  # a crash repeats it
        await images.prepare(WITH_RICH)
    assert len(builder.builds) == 2
    assert await images.image_for(WITH_RICH) == builder.builds[-1].image


async def test_a_build_that_failed_is_tried_again_at_once(images: Images, builder: FakeBuilder) -> None:
    await images.want_own()
    await built(images, builder)
    builder.go.set()
    builder.failure = "there is no package rich"
    with pytest.raises(ImageMissing, match="there is no package rich") as missing:
        await images.prepare(WITH_RICH)
    assert not missing.value.built
    builder.failure = None
    await images.prepare(WITH_RICH)
    assert list(images.problems) == []


async def test_a_corrected_package_ends_the_complaint_of_the_wrong_one(
    images: Images, builder: FakeBuilder
) -> None:
    await images.want_own()
    await built(images, builder)
    builder.failure = "there is no package rich"
    await images.image_for(WITH_RICH)
    await built(images, builder)
    builder.failure = None
    await images.image_for(WITH_MORE)
    await built(images, builder)
    assert list(images.problems) == []


async def test_a_build_by_hand_ends_the_complaint(images: Images, builder: FakeBuilder) -> None:
    builder.failure = "no space left"
    await images.want_own()
    await built(images, builder)
    builder.there = {builder.builds[0].image: 1.0}
    await images.refresh()
    assert list(images.problems) == []
    assert await images.image_for(SPEC) == builder.builds[0].image


async def test_no_agent_starts_with_the_image_of_another(images: Images, builder: FakeBuilder) -> None:
    other = evolve(WITH_RICH, workspace=Path("/groups/main-2/workspace"))
    await images.want_own()
    await built(images, builder)
    await images.image_for(other)
    await built(images, builder)
    assert await images.image_for(WITH_MORE) == await images.image_for(SPEC)
    assert await images.image_for(other) != await images.image_for(SPEC)


async def test_an_empty_folder_of_wheels_is_named(tmp_path: Path, builder: FakeBuilder) -> None:
    images = Images(builder, Recipe(wheels=tmp_path), "install-1")
    await images.want_own()
    with pytest.raises(ImageMissing, match=r"there is no wheel \(\*.whl\) in this folder") as caught:
        await images.image_for(SPEC)
    assert not caught.value.built
    assert list(images.problems) == [str(caught.value)]


async def test_images_that_nobody_needs_are_those_whose_successor_is_there(
    images: Images, builder: FakeBuilder
) -> None:
    old, new, others = "0123456789ab", "ba9876543210", "nanoclaw-agent:install-2-main-0123456789ab"
    main, other, gone = (f"nanoclaw-agent:install-1-{name}-" for name in ("main", "other", "gone"))
    builder.there = dict.fromkeys(
        [
            *(f"nanoclaw-agent:{each}" for each in (old, new)),
            others,
            *(each + old for each in (main, other, gone)),
        ],
        1.0,
    )
    builder.there[main + new] = 2.0
    await images.refresh()
    wanted = {"main": main + new, "other": other + new}
    assert set(images.useless(f"nanoclaw-agent:{new}", wanted)) == {
        f"nanoclaw-agent:{old}",
        main + old,
        gone + old,
    }
    assert f"nanoclaw-agent:{old}" not in images.useless("nanoclaw-agent:aaaaaaaaaaaa", wanted)


async def test_an_earlier_image_of_all_agents_serves_until_the_new_one_is_built(
    images: Images, builder: FakeBuilder
) -> None:
    builder.there = {
        "nanoclaw-agent:0123456789ab": 1.0,
        "nanoclaw-agent:ba9876543210": 2.0,
        "nanoclaw-agent:x-y-0": 3.0,
    }
    await images.refresh()
    assert await images.image_for(SPEC) == "nanoclaw-agent:ba9876543210"
    await built(images, builder)
    assert await images.image_for(SPEC) == builder.builds[0].image


async def test_a_configured_image_is_never_built(builder: FakeBuilder) -> None:
    images = Images(builder, Recipe(), "install-1", configured="mine:1")
    await images.want_own()
    assert await images.image_for(SPEC) == "mine:1"
    assert await images.image_for(evolve(SPEC, image="other:2")) == "other:2"
    assert builder.builds == []
