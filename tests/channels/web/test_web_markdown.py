"""The Markdown of the page: long texts do not stop the host."""

import trio

from nanoclaw.channels.http.web import markdown


async def test_the_host_goes_on_while_a_long_text_is_rendered() -> None:
    text = "[" * 40_000
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        await markdown.rendered_ahead(["short", text, None])
        nursery.cancel_scope.cancel()
    assert turns > 1
    hits = markdown.html.cache_info().hits
    assert markdown.html(text).startswith("<p>[[")
    assert markdown.html.cache_info().hits == hits + 1, "it was rendered ahead"
