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

from nanoclaw.testing.world import World

FIXTURE = "world"
_WORLD = pytest.StashKey[World]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("nanoclaw")
    group.addoption("--world-seed", type=int, default=0, help="seed of every `world` without one of its own")
    group.addoption("--world-real", action="store_true", help="run worlds in real time, with real processes")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "world(**arguments): what the fixture `world` is made with")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let trio run the tests that have a world on the clock of that world."""
    for item in items:
        if _has_world(item):
            real = _arguments(item)["real"]
            item.add_marker(pytest.mark.trio(run=trio.run if real else _run_virtually), append=False)


@pytest_trio.trio_fixture  # type: ignore[untyped-decorator]  # likewise
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world of its own for each test; its host starts when it is needed."""
    async with World(**_arguments(request.node)) as made:
        request.node.stash[_WORLD] = made
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what happened in the world of a test that failed."""
    report = yield
    made = item.stash.get(_WORLD, None)
    if made is not None and report.failed:
        report.sections.append(("world", made.report()))
    return report


def _has_world(item: pytest.Item) -> bool:
    return (
        isinstance(item, pytest.Function)
        and FIXTURE in item.fixturenames
        and iscoroutinefunction(item.obj)
        and _is_ours(item)
    )


def _is_ours(item: pytest.Function) -> bool:
    """Whether `world` is the fixture of this plugin: others may have one of that name."""
    found = item._fixtureinfo.name2fixturedefs.get(FIXTURE, ())  # noqa: SLF001 -- pytest has no other way
    return bool(found) and found[-1].func.__module__ == __name__


def _arguments(item: Any) -> dict[str, Any]:
    marker, option = item.get_closest_marker("world"), item.config.getoption
    defaults = {"seed": option("--world-seed"), "real": option("--world-real")}
    return {**defaults, **(marker.kwargs if marker else {})}


def _run_virtually(main: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
    """`trio.run` in virtual time."""
    return trio.run(main, *arguments, **{**options, "clock": MockClock(autojump_threshold=0)})
