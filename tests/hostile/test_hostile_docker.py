"""A hostile agent in a container reaches nothing of the host."""

from typing import Any

import pytest

from tests.docker_runtime.docker_homes import config
from tests.engine.fixtures import EngineForTests
from tests.hostile.attempts import ATTEMPTS, WORKS
from tests.hostile.stage import PUBLIC, all_attempts

PYTHON = ("python3", "-I")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(engine: EngineForTests, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all attempts in one container."""
    home = tmp_path_factory.mktemp("hostile")
    return all_attempts(config(home, engine.socket, engine.image), PYTHON, (str(engine.socket),))


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_reaches_nothing(found: dict[str, Any], name: str) -> None:
    assert found[name]["reached"] is None


def test_an_agent_can_do_its_work(found: dict[str, Any]) -> None:
    assert found["works"] == dict.fromkeys(WORKS, True)


def test_the_gateway_connects_to_public_addresses_alone(found: dict[str, Any]) -> None:
    assert {address for address, _ in found["connected"]} == {PUBLIC}


def test_a_model_s_server_is_asked_for_allowed_paths_alone(found: dict[str, Any]) -> None:
    assert set(found["asked"]) <= {"POST /chat/completions", "GET /models"}
