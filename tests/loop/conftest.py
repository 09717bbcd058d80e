"""Async tests here run in virtual time, except those with real processes and sockets."""

from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import trio

from agent_runner.providers.sdks import load_sdk
from tests.loop.talk import PROVIDERS
from tests.runner.world import virtually

for sdk in PROVIDERS:
    trio.run(load_sdk, sdk)  # here, so that no test waits for a thread in virtual time

HERE = Path(__file__).parent
REAL_TIME = {"test_missing_sdk.py", "test_model_processes.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        virtual = item.path.parent == HERE and item.path.name not in REAL_TIME
        if virtual and iscoroutinefunction(getattr(item, "obj", None)):
            # Inserted first, because trio_mode has marked the test, too.
            item.add_marker(pytest.mark.trio(run=virtually), append=False)
