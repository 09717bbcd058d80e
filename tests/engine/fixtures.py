"""Fixtures with a real engine. All workers of a test run share one; the last one stops it.

Without an engine tests skip, and say why. With `CI=true` they fail: there it must be installed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import pytest
from attrs import frozen

from tests.engine.base_image import NoPackages
from tests.engine.private_engine import NoEngine, PrivateEngine

CACHE = Path(__file__).parents[2] / ".venv" / "engine"
"""Packages, wheels and the base image, which `make clean` removes."""


@frozen
class EngineForTests:
    """A running engine with the image of the runner."""

    socket: Path
    image: str
    engine: PrivateEngine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineForTests]:
    """The engine that all tests of this run share. A test that stops its engine takes `own_engine`."""
    with _shared(_folder_of_run(tmp_path_factory)) as found:
        yield found


@pytest.fixture
def own_engine(engine: EngineForTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineForTests]:
    """An engine that only this test uses, with the image of the shared one."""
    own = PrivateEngine(tmp_path_factory.mktemp("engine"), engine.engine.driver)
    own.start()
    try:
        shared, mine = engine.engine.client(), own.client()
        mine.images.load(b"".join(shared.images.get(engine.image).save(named=True)))
        shared.close()
        mine.close()
        yield EngineForTests(own.socket, engine.image, own)
    finally:
        own.remove()


def _folder_of_run(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent / "shared-engine" if "PYTEST_XDIST_WORKER" in os.environ else base / "shared-engine"


@contextmanager
def _shared(folder: Path) -> Iterator[EngineForTests]:
    """Start the engine of this run, or join it. Each user holds a shared lock; the last one stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = PrivateEngine(folder / "engine")
    with (folder / "starting").open("w") as starting, (folder / "users").open("w") as users:
        flock(starting, LOCK_EX)
        image = _image(engine)
        flock(users, LOCK_SH)
        flock(starting, LOCK_UN)
        try:
            yield EngineForTests(engine.socket, image, engine)
        finally:
            flock(starting, LOCK_EX)
            _remove_if_last(engine, users.fileno())


def _remove_if_last(engine: PrivateEngine, users: int) -> None:
    try:
        flock(users, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return
    engine.adopt()
    engine.remove()


def _image(engine: PrivateEngine) -> str:
    """Start the engine if it does not run, and return the tag of its image."""
    from tests.engine.agent_image import IMAGE, build  # noqa: PLC0415 -- it imports the client of the engine

    if engine.socket.exists() and engine.answers():
        return IMAGE
    try:
        with _alone(CACHE):
            engine.start()
            client = engine.client()
            try:
                return build(client, CACHE)
            finally:
                client.close()
    except (NoEngine, NoPackages) as error:
        engine.remove()
        _give_up(f"no container engine for tests: {error}")


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _give_up(reason: str) -> "pytest.NoReturn":  # type: ignore[name-defined]
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
