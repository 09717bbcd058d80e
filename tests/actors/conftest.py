"""Run every async test here in virtual time."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock


def in_virtual_time(main: Callable[..., Awaitable[None]], **options: Any) -> None:
    trio.run(main, **{**options, "clock": MockClock(autojump_threshold=0)})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            # In front: trio_mode has marked it, too.
            item.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)
