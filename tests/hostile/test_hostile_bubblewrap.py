"""A hostile agent under bubblewrap reaches nothing of the host."""

from pathlib import Path
from typing import Any

import pytest

from nanoclaw.config import Config
from nanoclaw.runtimes.bubblewrap.layout import interpreter
from tests.host.homes import config
from tests.hostile.attempts import ATTEMPTS, WORKS
from tests.hostile.stage import PUBLIC, all_attempts
from tests.sandbox.needed import need_bubblewrap

PYTHON = (interpreter(), "-I")

pytestmark = pytest.mark.slow


def settings(home: Path) -> Config:
    need_bubblewrap()
    return config(home, sandbox={"runtime": "bubblewrap", "disk_reserve": "4M"})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all attempts in one sandbox."""
    return all_attempts(settings(tmp_path_factory.mktemp("hostile")), PYTHON)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_reaches_nothing(found: dict[str, Any], name: str) -> None:
    assert found[name]["reached"] is None


def test_an_agent_can_do_its_work(found: dict[str, Any]) -> None:
    assert found["works"] == dict.fromkeys(WORKS, True)


def test_the_gateway_connects_to_public_addresses_alone(found: dict[str, Any]) -> None:
    assert {address for address, _ in found["connected"]} == {PUBLIC}


def test_a_model_s_server_is_asked_for_allowed_paths_alone(found: dict[str, Any]) -> None:
    assert set(found["asked"]) <= {"POST /chat/completions", "GET /models"}
