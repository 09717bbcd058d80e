"""A real Chromium, driven through chromedriver. Waiting is done in the page, by its own events."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

WITHIN_S = 20
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1100,760",
    "--lang=en",
)
UNTIL = """
const [condition, given, done] = arguments;
const holds = new Function("$", "given", `return (${condition});`);
const $ = (selector) => document.querySelector(selector);
let ended = false;
const look = () => {
  let found;
  try { found = holds($, given); } catch { return; }
  if (!found || ended) return;
  ended = true;
  observer.disconnect();
  clearInterval(timer);
  done(found === true ? true : String(found));
};
const observer = new MutationObserver(look);
observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
const timer = setInterval(look, 50); // for what changes without the document, such as the scroll position
look();
"""


@frozen
class Browser:
    """One window."""

    driver: webdriver.Chrome

    async def open(self, url: str) -> None:
        await trio.to_thread.run_sync(self.driver.get, url)

    async def until(self, condition: str, given: Any = None) -> Any:
        """Wait until a JavaScript expression holds, and return its value. `$` is `document.querySelector`."""
        try:
            return await self._run(self.driver.execute_async_script, UNTIL, condition, given)
        except Exception as error:
            page = await self.script("return document.body.innerText")
            raise AssertionError(
                f"{condition} did not come; the page shows:\n{page}\n{await self.log()}"
            ) from error

    async def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        await self.until("document.body.innerText.includes(given)", text)

    async def script(self, code: str, *arguments: Any) -> Any:
        return await self._run(self.driver.execute_script, code, *arguments)

    async def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements."""
        code = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent.trim())"
        found: list[str] = await self.script(code, selector)
        return found

    async def click(self, selector: str) -> None:
        await self.until("$(given) && !$(given).disabled && $(given).getClientRects().length", selector)
        for _ in range(5):
            with suppress(StaleElementReferenceException):  # the page has just drawn it anew
                await self._run(lambda: self.one(selector).click())
                return
        raise AssertionError(f"{selector} never stays long enough to click it")

    async def write(self, text: str, selector: str = "#text") -> None:
        await self._run(lambda: self.one(selector).send_keys(text))

    async def say(self, text: str) -> None:
        await self.write(text + Keys.ENTER)

    async def log(self) -> list[str]:
        """Return what the page has logged since the last call, violations of its policy included."""
        return [str(each["message"]) for each in await self._run(self.driver.get_log, "browser")]

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        await self._run(ActionChains(self.driver).send_keys(*keys).perform)

    async def press_back_tab(self) -> None:
        chain = ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT)
        await self._run(chain.perform)

    async def resize(self, width: int, height: int) -> None:
        """Give the page a size, as a device of that size does."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._run(self.driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", metrics)

    async def barriers(self) -> list[str]:
        """Return what axe, an independent checker, finds to keep people with disabilities out."""
        await self.script(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
        code = """
            const done = arguments[0];
            axe.run().then(({ violations }) => done(violations.flatMap(({ id, nodes }) =>
              nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))));
        """
        found: list[str] = await self._run(self.driver.execute_async_script, code)
        return found

    async def screenshot(self, file: Path) -> None:
        await self._run(self.driver.save_screenshot, str(file))

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    async def _run(self, call: Any, *arguments: Any) -> Any:
        return await trio.to_thread.run_sync(partial(call, *arguments))


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Start a browser, and end it."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium and chromium-driver must be installed in CI")
        pytest.skip("chromium and chromium-driver are not installed")
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = program
    for option in (*OPTIONS, *options):
        chosen.add_argument(option)
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(chosen, Service(driver))
    try:
        window.set_script_timeout(WITHIN_S)
        yield Browser(window)
    finally:
        window.quit()
