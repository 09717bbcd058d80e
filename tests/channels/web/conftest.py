"""For tests of the web chat: one browser, and a server for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.channels.web.browser import Browser, chromium
from tests.channels.web.web_stage import Stage, open_stage


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as running:
        yield running


@pytest.fixture
async def browser(window: Browser, stage: Stage) -> Browser:
    """A browser that is logged in as Ann. Its page has an address of its own, and so its own storage."""
    await window.log()
    await window.open(await stage.link())
    await window.until("!$('#app').hidden")
    return window
