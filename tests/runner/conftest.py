"""Async tests here run in virtual time, except those with real processes."""

from inspect import iscoroutinefunction
from pathlib import Path

import pytest

from tests.runner.world import World, virtually

HERE = Path(__file__).parent
REAL_TIME = {
    "test_new_provider.py",
    "test_runner_bash.py",
    "test_runner_file_tools.py",
    "test_runner_forwarder.py",
    "test_runner_mcp_client.py",
    "test_runner_mcp_server.py",
    "test_runner_process.py",
    "test_runner_script_processes.py",
    "test_runner_system.py",
    "test_runner_tool_socket.py",
    "test_runner_web.py",
    "test_runner_web_fetch.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        virtual = item.path.parent == HERE and item.path.name not in REAL_TIME
        if virtual and iscoroutinefunction(getattr(item, "obj", None)):
            # Inserted first, because trio_mode has marked the test, too.
            item.add_marker(pytest.mark.trio(run=virtually), append=False)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "session")
