"""Makes docs/images/web-chat.png: `make screenshot`. The conversation is made up, the page is real."""

from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from nanoclaw.records import Address, Option, QuestionContent
from tests.channels.web.browser import Browser, chromium
from tests.channels.web.web_stage import NAME, Stage, open_stage

FILE = Path(__file__).parents[3] / "docs" / "images" / "web-chat.png"
MOUSE = (
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
)
ANSWER = """\
The build fails in **two** places:

1. `pyproject.toml` names a package that is gone
2. one test needs the *network*

```python
def fetch(url: str) -> bytes:
    return httpx.get(url).content
```
"""
DRAFT = "I pinned the package and replaced the call by a recorded answer. Now I run the tests ag"
YES, NO = Option("Mend both", "Mended", "both"), Option("Only the package", "Mended", "one")
QUESTION = QuestionContent("q-1", "Shall I mend it?", "I would change two files.", (YES, NO), free_text=True)


async def talk(stage: Stage, browser: Browser) -> None:
    """Play the conversation."""
    for thread, text in (("c-1", "Plan the trip to Lisbon"), ("c-2", "What is in the letter of the bank?")):
        await stage.deliver(text, thread)
    await browser.until("document.querySelectorAll('#conversations li').length === 2")
    await browser.say("Please look at the build. What is wrong?")
    thread = (await stage.host.heard()).address.thread_id or ""
    await stage.deliver(ANSWER, thread)
    await stage.deliver(QUESTION, thread)
    await stage.sender.draft(Address(NAME, "ann", thread), DRAFT)
    await browser.until("$('.draft') && $('.card')")


async def main() -> None:
    """Write the picture."""
    with TemporaryDirectory() as folder, chromium(MOUSE) as browser:
        async with open_stage(Path(folder)) as stage:
            await browser.resize(1040, 860)
            await browser.open(await stage.link())
            await browser.until("!$('#app').hidden")
            await talk(stage, browser)
            await browser.screenshot(FILE)


if __name__ == "__main__":
    trio.run(main)
