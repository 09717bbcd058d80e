"""The pytest plugin: a fixture `world`, open while the test runs. Needs pytest-trio.

Switch it on in `conftest.py`: `pytest_plugins = ["nanoclaw.testing.pytest"]`. `@pytest.mark.world(seed=3,
settings={...})` hands arguments to `World`; `--world-seed` and `--world-real` choose for all.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from inspect import iscoroutinefunction
from typing import Any

import pytest
import pytest_trio  # type: ignore[import-untyped]  # it has no annotations
import trio
from trio.testing import MockClock

from nanoclaw.testing.world.errors import ExpectationFailed
from nanoclaw.testing.world.world import World

FIXTURE = "world"
_WORLD = pytest.StashKey[World]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("nanoclaw")
    group.addoption("--world-seed", type=int, default=0, help="seed of every `world` without one of its own")
    group.addoption("--world-real", action="store_true", help="run worlds in real time, with real processes")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "world(**arguments): what the fixture `world` is made with")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make trio run each test that has a world on the clock of that world."""
    for item in items:
        if _has_world(item):
            real = _arguments(item)["real"]
            item.add_marker(pytest.mark.trio(run=trio.run if real else _run_virtually), append=False)


@pytest_trio.trio_fixture  # type: ignore[untyped-decorator]  # pytest_trio is untyped
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Open a world for each test; its host starts at its first use."""
    async with World(**_arguments(request.node)) as made:
        request.node.stash[_WORLD] = made
        yield made


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse tests that cannot have a world before pytest-trio does: its refusal would break later tests."""
    if not _asks_for_world(item):
        return
    marker = item.get_closest_marker("world")
    if marker is not None and marker.args:
        pytest.fail(
            f"{item.name}: `pytest.mark.world` takes arguments by name only, as `World` does: "
            f"`@pytest.mark.world(seed={marker.args[0]!r})`, if that is the seed",
            pytrace=False,
        )
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        pytest.fail(
            f"{item.name}: a fixture is there once for all examples, and each needs a world of its own: "
            "call `nanoclaw.testing.simulate(scenario, seed=1)` in a plain `@given` test",
            pytrace=False,
        )
    if item.get_closest_marker("trio") is None:
        pytest.fail(
            f"{item.name} is no `async def`, and the fixture `world` is for those alone; "
            "without it there is `nanoclaw.testing.simulate(scenario, seed=1)`",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the timeline of a failed test's world, unless the test's error includes it."""
    report = yield
    made = item.stash.get(_WORLD, None)
    if made is not None and report.failed and not (call.excinfo and _tells(call.excinfo.value)):
        report.sections.append(("world", made.report()))
    return report


def _tells(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_tells, error.exceptions))
    return isinstance(error, ExpectationFailed)


def _has_world(item: pytest.Item) -> bool:
    return _asks_for_world(item) and iscoroutinefunction(getattr(item, "obj", None))


def _asks_for_world(item: pytest.Item) -> bool:
    """Return whether a test uses the `world` of this plugin: others may have a fixture of that name."""
    return isinstance(item, pytest.Function) and FIXTURE in item.fixturenames and _is_ours(item)


def _is_ours(item: pytest.Function) -> bool:
    found = item._fixtureinfo.name2fixturedefs.get(FIXTURE, ())  # noqa: SLF001 -- pytest has no other way
    return bool(found) and found[-1].func.__module__ == __name__


def _arguments(item: Any) -> dict[str, Any]:
    marker, option = item.get_closest_marker("world"), item.config.getoption
    defaults = {"seed": option("--world-seed"), "real": option("--world-real")}
    return {**defaults, **(marker.kwargs if marker else {})}


def _run_virtually(main: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
    """Run `trio.run` in virtual time."""
    return trio.run(main, *arguments, **{**options, "clock": MockClock(autojump_threshold=0)})
