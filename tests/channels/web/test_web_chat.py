"""The page of the web chat, in a real browser."""

from tests.channels.web.browser import Browser
from tests.channels.web.web_stage import Stage


async def test_a_message_goes_to_the_agent_and_the_answer_appears(stage: Stage, browser: Browser) -> None:
    await browser.say("hello")
    heard = await stage.host.heard()
    assert (heard.message.text, heard.message.sender_id) == ("hello", "http:ann")
    await stage.deliver("**Hi** Ann", heard.address.thread_id or "")
    await browser.until("$('.message:not(.mine) strong')?.textContent === 'Hi'")
    assert await browser.log() == []
