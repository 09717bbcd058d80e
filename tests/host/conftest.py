"""Async tests of the modules named here run in virtual time; the others have real threads and processes."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

HERE = Path(__file__).parent
VIRTUAL = {"test_faulty_channels.py", "test_runner_supervisor.py", "test_senders.py"}


def in_virtual_time(main: Callable[..., Awaitable[None]], **options: Any) -> None:
    trio.run(main, **{**options, "clock": MockClock(autojump_threshold=0)})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        virtual = item.path.parent == HERE and item.path.name in VIRTUAL
        if virtual and iscoroutinefunction(getattr(item, "obj", None)):
            # Inserted first, because trio_mode has marked the test, too.
            item.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)
