"""Fixtures with a real container engine. All workers of a test run share one; the last one stops it.

Without an engine tests skip, and say why. With `CI=true` they fail: there it must be installed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from typing import NoReturn

import pytest
from attrs import frozen

from nanoclaw.runtimes.images import BuildFailed
from tests.engine.base_image import NoPackages
from tests.engine.private_engine import NoEngine, PrivateEngine

CACHE = Path(__file__).parents[2] / ".venv" / "engine"
"""Packages, wheels and images between runs. `make clean` removes them."""


@frozen
class EngineForTests:
    """A running engine with the image of the runner."""

    socket: Path
    image: str
    engine: PrivateEngine


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineForTests]:
    """The engine that all tests of this run share. A test that stops its engine takes `own_engine`."""
    folder = _folder(os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())))
    with _shared(folder) as found:
        yield found


@pytest.fixture(scope="module")
def own_engine(engine: EngineForTests) -> Iterator[EngineForTests]:
    """An engine that only this module uses, with the image of the shared one. Its tests may stop it."""
    own = PrivateEngine(_folder(f"{os.getpid()}-own"), engine.engine.driver)
    own.start()
    try:
        with own.client() as client, (CACHE / f"{engine.image.replace(':', '-')}.tar").open("rb") as tar:
            client.load_image(tar)
        yield EngineForTests(own.socket, engine.image, own)
    finally:
        own.remove()


@pytest.fixture
def bare_engine(engine: EngineForTests) -> Iterator[PrivateEngine]:
    """An engine without any image, for one test."""
    own = PrivateEngine(_folder(f"{os.getpid()}-bare"), engine.engine.driver)
    own.start()
    try:
        yield own
    finally:
        own.remove()


def _folder(name: str) -> Path:
    """Return a folder on a disk, not in memory. Its path is short, because a socket is in it."""
    return Path("/tmp") / f"nanoclaw-engine-{name}"  # noqa: S108 -- only root gets here, and nobody guesses the name


@contextmanager
def _shared(folder: Path) -> Iterator[EngineForTests]:
    """Start the engine of this run, or join it. Each user holds a shared lock; the last one stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = PrivateEngine(folder / "shared")
    with (folder / "starting").open("w") as starting, (folder / "users").open("w") as users:
        flock(starting, LOCK_EX)
        image = _image(engine, folder / "image")
        flock(users, LOCK_SH)
        flock(starting, LOCK_UN)
        try:
            yield EngineForTests(engine.socket, image, engine)
        finally:
            flock(starting, LOCK_EX)
            flock(users, LOCK_UN)
            if _is_free(users.fileno()):
                engine.remove()
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(users: int) -> bool:
    try:
        flock(users, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _image(engine: PrivateEngine, noted: Path) -> str:
    """Start the engine if it does not run, and return the name of its image."""
    if noted.exists() and engine.answers():
        return noted.read_text("utf-8")
    from tests.engine.agent_image import ensure  # noqa: PLC0415 -- the client of engines is slow to import

    try:
        with _alone(CACHE):
            engine.start()
            with engine.client() as client:
                image = ensure(client, CACHE)
    except (NoEngine, NoPackages, BuildFailed) as error:
        engine.remove()
        _give_up(f"no container engine for tests: {error}")
    noted.write_text(image, "utf-8")
    return image


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
