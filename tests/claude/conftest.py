"""Tests with the real Claude Code. They need the dependency group `claude`, which has the program."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.claude.world import ClaudeWorld
from tests.runner.world import World

HERE = Path(__file__).parent
if find_spec("claude_agent_sdk") is None:
    collect_ignore_glob = ["test_claude*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def world(tmp_path: Path) -> ClaudeWorld:
    World.create(tmp_path / "s")
    return ClaudeWorld(tmp_path / "s")
