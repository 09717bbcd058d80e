"""No request of a page makes the server fail, and no text of an agent makes HTML that is not ours."""

import json
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nanoclaw.channels.http.web import markdown
from tests.channels.web.web_stage import Stage, open_stage

TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
}
ATTRIBUTES = {"href", "title", "class", "start", "style"}
PARTS = (
    "<",
    ">",
    '"',
    "'",
    "&",
    "`",
    "*",
    "_",
    "[",
    "]",
    "(",
    ")",
    "!",
    "|",
    "\n",
    " ",
    "\\",
    "#",
    "- ",
    "javascript:",
    "data:",
    "https://a.b/",
    "<script>",
    "onload=",
    "&#x6a;",
    "\t",
    "a",
    "é",
)
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=40).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
PLAIN = st.sampled_from(["", "a", "c-1", "coder/c-1", "../x", "a" * 300, "\ud800", "\0"])
FIELDS = (
    "id",
    "thread",
    "text",
    "files",
    "version",
    "emoji",
    "event_id",
    "question_id",
    "value",
    "token",
    "removed",
)
BODIES = JSON | st.dictionaries(st.sampled_from(FIELDS), PLAIN | JSON, max_size=9)
PATHS = st.sampled_from(["messages", "deletions", "clicks", "reactions", "login"])
READS = st.sampled_from(["thread", "before"])


AS_JSON = {"content-type": "application/json"}


class Seen(HTMLParser):
    """Notes what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = set[str]()
        self.attributes = list[tuple[str, str]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@given(TEXTS)
def test_markdown_makes_only_known_elements_and_safe_addresses(text: str) -> None:
    seen = Seen()
    seen.feed(markdown.html(text))
    assert seen.tags <= TAGS
    assert {name for name, _ in seen.attributes} <= ATTRIBUTES
    links = [value for name, value in seen.attributes if name == "href"]
    assert all(link.lower().startswith(("http://", "https://", "mailto:")) for link in links)


@given(
    st.lists(st.tuples(PATHS, BODIES), min_size=1, max_size=12), st.lists(st.tuples(READS, PLAIN), max_size=4)
)
@settings(
    max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow]
)
def test_no_request_makes_the_server_fail(posts: list[tuple[str, Any]], reads: list[tuple[str, str]]) -> None:
    async def main() -> None:
        with TemporaryDirectory() as folder:
            async with open_stage(Path(folder)) as stage:
                await ask(stage, posts, reads)

    trio.run(main)


async def ask(stage: Stage, posts: list[tuple[str, Any]], reads: list[tuple[str, str]]) -> None:
    async with httpx2.AsyncClient(base_url=stage.url, headers={"x-nanoclaw": "1"}) as client:
        token = (await stage.link()).partition("#login=")[2]
        assert (await client.post("api/login", json={"token": token})).status_code == 200
        for path, body in posts:
            answer = await client.post(f"api/{path}", content=json.dumps(body), headers=AS_JSON)
            assert answer.status_code < 500, answer.text
        for key, value in reads:
            params = {"thread": "", key: value.encode("utf-8", "replace").decode()}
            answer = await client.get("api/messages", params=params)
            assert answer.status_code < 500, answer.text
