"""The page of the web chat when something goes wrong: lost connections, hostile texts, and strangers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

import httpx2
import pytest
from selenium.webdriver.common.keys import Keys

from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.web import logins
from nanoclaw.channels.http.web.logins import Logins
from nanoclaw.records import (
    CardContent,
    Clicked,
    Option,
    OutgoingFile,
    QuestionContent,
    ReactionContent,
    TextContent,
)
from tests.channels.web.browser import Browser
from tests.channels.web.web_stage import Stage, open_stage

GATE = "!$('#signed-out').hidden"
ATTACK = "window.attacked = true"
HOSTILE = (
    f"<script>{ATTACK}</script>",
    f'<img src=x onerror="{ATTACK}">',
    f'<svg onload="{ATTACK}">',
    f"[link](javascript:{ATTACK})",
    f"[link](JaVaScRiPt&colon;{ATTACK})",
    "[link](data:text/html;base64,PHNjcmlwdD4=)",
    f"![image](x' onerror='{ATTACK}')",
    "![image](https://evil.example/pixel.png)",
    f'<a href="#" onclick="{ATTACK}">x</a>',
    f"```<img src=x onerror={ATTACK}>\n</code></pre><script>{ATTACK}</script>\n```",
    f"`</code><script>{ATTACK}</script>`",
    f"| a |\n|---|\n| <img src=x onerror={ATTACK}> |",
    '<style>body { display: none }</style><iframe src="https://evil.example"></iframe>',
    '<form action="https://evil.example"><input name="a"></form>',
    f'https://example.org/"onmouseover="{ATTACK}',
    "\u202e <b>x",
)


@asynccontextmanager
async def logged_in(stage: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    """A program that is logged in as Ann, with the headers of the page."""
    headers = {"x-nanoclaw": "1", "origin": stage.url.removesuffix("/chat/")}
    async with httpx2.AsyncClient(base_url=stage.url, headers=headers) as client:
        token = (await stage.link()).partition("#login=")[2]
        assert (await client.post("api/login", json={"token": token})).status_code == 200
        yield client


@pytest.fixture
async def guest(stage: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    async with logged_in(stage) as client:
        yield client


# -- lost connections


async def test_after_a_loss_of_the_server_the_page_goes_on_where_it_was(
    window: Browser, tmp_path: Path
) -> None:
    async with open_stage(tmp_path) as first:
        await window.open(await first.link())
        await window.until("!$('#app').hidden")
        await window.say("before")
        thread = (await first.host.heard()).address.thread_id or ""
        await first.deliver("one", thread)
        await window.until("$('.message:not(.mine)') && !localStorage.getItem('nanoclaw.outbox')")
        port, state = first.port, first.state
    await window.until("$('#connection').textContent === 'Reconnecting …'")
    await window.say("while it is away")
    await window.until("$('.mine.pending')")
    async with open_stage(tmp_path, port=port, state=state) as second:
        second.count = 10
        await second.deliver("two", thread)
        heard = await second.host.heard()
        assert heard.message.text == "while it is away"
        await window.until("$('#connection').textContent === '' && !$('.pending')")
        await window.until("document.querySelectorAll('.message:not(.mine)').length === 2")
        texts = await window.texts(".message .body")
        assert sorted(texts) == ["before", "one", "two", "while it is away"]
        assert len(second.host.offered) == 1


async def test_a_page_that_is_ahead_of_the_server_loads_everything_again(
    window: Browser, tmp_path: Path
) -> None:
    async with open_stage(tmp_path / "lost") as first:
        await window.open(await first.link())
        await window.until("!$('#app').hidden")
        await first.deliver("before", "t")
        await window.until("$('[data-thread=t]')")
        await window.script("window.isOld = true")
        port, state = first.port, first.state
    async with open_stage(tmp_path / "new", port=port, state=state):
        await window.until("window.isOld === undefined && !$('#app').hidden && !$('[data-thread=t]')")


async def test_a_message_that_the_host_cannot_store_is_sent_again_and_stored_once(
    stage: Stage, browser: Browser
) -> None:
    stage.host.is_down = True
    await browser.say("hello")
    await browser.until("$('.mine.pending')")
    await browser.script("location.reload()")
    await browser.until("$('.mine.pending .body')?.textContent === 'hello'")
    stage.host.is_down = False
    await stage.host.heard()
    await browser.until(
        "$('.mine time') && !$('.pending') && document.querySelectorAll('.mine').length === 1"
    )
    assert len(stage.host.offered) == 1


async def test_two_windows_show_the_same(browser: Browser, guest: httpx2.AsyncClient) -> None:
    sent = {"id": "from-elsewhere", "thread": "shared", "text": "from my phone", "files": []}
    assert (await guest.post("api/messages", json=sent)).status_code == 200
    await browser.click("[data-thread=shared]")
    await browser.until("$('.mine .body')?.textContent === 'from my phone'")


# -- hostile texts


async def test_hostile_texts_run_nothing_and_load_nothing(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    await browser.say(HOSTILE[1])
    thread = (await stage.host.heard()).address.thread_id or ""
    for text in HOSTILE:
        await stage.deliver(text, thread)
        await stage.deliver(TextContent(text), thread)
    await stage.deliver(
        QuestionContent("q", HOSTILE[0], HOSTILE[1], (Option(HOSTILE[2], "", HOSTILE[3]),)), thread
    )
    await stage.deliver(CardContent("{}", f"{HOSTILE[1]}\n{HOSTILE[0]}"), thread)
    own = await browser.script("return document.querySelector('.mine').dataset.id")
    await stage.deliver(ReactionContent(own, HOSTILE[1]), thread)
    file = tmp_path / "a"
    file.write_bytes(b"x")
    await stage.deliver(TextContent("file"), thread, files=(OutgoingFile('"><script>.png', file, 1),))
    await browser.until("$('.file')")
    assert await browser.script("return window.attacked") is None
    inside = "#log :is(script, svg, iframe, style, form:not(.own-words), [onclick])"
    assert await browser.script("return document.querySelectorAll(arguments[0]).length", inside) == 0
    links = await browser.script(
        "return [...document.querySelectorAll('#log .body a')].map((each) => each.href)"
    )
    assert links
    assert all(link.startswith(("https://", "mailto:")) for link in links)
    assert await browser.script(
        "return [...document.querySelectorAll('#log img')].every((e) => e.closest('.picture'))"
    )
    hosts = "return performance.getEntriesByType('resource').map((each) => new URL(each.name).host)"
    assert set(await browser.script(hosts)) == {f"127.0.0.1:{stage.port}"}


async def test_the_policy_of_the_page_forbids_scripts_inside_of_it(browser: Browser) -> None:
    await browser.script(
        """
        const script = document.createElement("script");
        script.textContent = "window.attacked = true";
        document.body.append(script);
        const image = document.createElement("img");
        image.src = "https://evil.example/pixel.png";
        document.body.append(image);
        """
    )
    await browser.until("document.readyState === 'complete'")
    assert await browser.script("return window.attacked") is None
    violated = " ".join(await browser.log())
    assert "script-src 'self'" in violated
    assert "img-src 'self'" in violated


# -- logging in and out


async def test_without_a_login_the_page_says_how_to_get_one(window: Browser, stage: Stage) -> None:
    await window.open(stage.url)
    await window.until(GATE)
    await window.shows("nanoclaw web")
    await window.log()


async def test_a_link_works_once_and_leaves_the_address(window: Browser, stage: Stage) -> None:
    link = await stage.link()
    await window.open(link)
    await window.until("!$('#app').hidden")
    assert await window.script("return location.href") == stage.url
    await window.click("#log-out")
    await window.until(GATE)
    await window.open("about:blank")
    await window.open(link)
    await window.until(GATE)
    await window.shows("This link was used already")
    await window.log()


async def test_of_two_browsers_with_the_same_link_one_gets_in(stage: Stage) -> None:
    token = (await stage.link()).partition("#login=")[2]
    logins_ = Logins(stage.state, stage.sender.server.clock.now, SystemRandom())
    got = [await logins_.redeem(token, "one"), await logins_.redeem(token, "two")]
    assert [each is not None for each in got] == [True, False]


async def test_logging_out_ends_the_session_on_the_server(stage: Stage, guest: httpx2.AsyncClient) -> None:
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in guest.cookies.items())}
    assert (await guest.post("api/logout", json={})).status_code == 200
    again = await guest.get("api/state", headers=cookie)
    assert again.status_code == 401
    assert not [key for key in stage.state.values if key.startswith(logins.SESSION)]


async def test_tokens_are_nowhere_in_the_state(stage: Stage, guest: httpx2.AsyncClient) -> None:
    (session,) = guest.cookies.values()
    assert session not in str(stage.state.values)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stage: Stage) -> None:
    token = (await stage.link()).partition("#login=")[2]
    async with httpx2.AsyncClient(base_url=stage.url) as client:
        answer = await client.post("api/login", json={"token": token}, headers={"x-nanoclaw": "1"})
    cookie = answer.headers["set-cookie"].lower()
    assert f"nanoclaw_{stage.port}=" in cookie
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/chat", "max-age=2592000"))


# -- strangers and nonsense


@pytest.mark.parametrize("path", ["messages", "deletions", "clicks", "reactions", "login", "logout"])
async def test_a_page_of_another_site_changes_nothing(
    stage: Stage, guest: httpx2.AsyncClient, path: str
) -> None:
    foreign = await guest.post(f"api/{path}", json={}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    plain = await guest.post(f"api/{path}", json={}, headers={"x-nanoclaw": ""})
    assert plain.status_code == 403
    assert stage.host.offered == []


@pytest.mark.parametrize("path", ["api/state", "api/messages?thread=", "api/events?after=0", "files/file-1"])
async def test_nobody_reads_without_a_login(stage: Stage, path: str) -> None:
    async with httpx2.AsyncClient(base_url=stage.url) as client:
        answer = await client.get(path, headers={"cookie": f"nanoclaw_{stage.port}=nonsense"})
    assert answer.status_code == 401


async def test_a_user_sees_no_message_and_no_file_of_another(
    stage: Stage, guest: httpx2.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "secret.txt"
    file.write_text("secret", "utf-8")
    sent = await stage.deliver("for Bob", "t", "bob", files=(OutgoingFile("secret.txt", file, 6),))
    files = await stage.sender.server.rooms.room("bob").message(str(sent.platform_message_id))
    assert files is not None
    url = f"files/{files.content['files'][0]['id']}"
    assert (await guest.get(url)).status_code == 404
    state = (await guest.get("api/state")).json()
    assert state["conversations"] == []
    for thread in ("t", "../bob/t", "bob/t"):
        answer = await guest.get("api/messages", params={"thread": thread})
        assert answer.status_code == 422 or answer.json()["messages"] == []
        react = {"thread": thread, "id": sent.platform_message_id, "emoji": "x", "event_id": "e"}
        assert (await guest.post("api/reactions", json=react)).status_code in {404, 422}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages", []),
        ("messages", {}),
        ("messages", {"id": "a b", "thread": "", "text": "x"}),
        ("messages", {"id": "a", "thread": "", "text": ""}),
        ("messages", {"id": "a", "thread": "", "text": "x" * 100_001}),
        ("messages", {"id": "a", "thread": "", "text": 5}),
        ("messages", {"id": "a", "thread": None, "text": "x"}),
        ("messages", {"id": "a", "thread": "", "text": "x", "files": "y"}),
        ("messages", {"id": "a", "thread": "", "text": "x", "files": [{"id": "../../etc/passwd"}]}),
        ("messages", {"id": "a", "thread": "", "text": "x", "files": [{"id": "b"}] * 21}),
        ("messages", {"id": "a", "thread": "", "text": "x", "version": {}}),
        ("clicks", {"thread": "", "id": "a", "question_id": "q"}),
        ("reactions", {"thread": "", "id": "a", "emoji": "x" * 101, "event_id": "e"}),
        ("deletions", {"thread": "", "id": ["a"]}),
        ("login", {"token": None}),
    ],
)
async def test_a_bad_request_is_refused_with_a_reason(
    stage: Stage, guest: httpx2.AsyncClient, path: str, body: object
) -> None:
    answer = await guest.post(f"api/{path}", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]
    assert stage.host.offered == []


async def test_bodies_that_are_no_json_are_refused(guest: httpx2.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    for content, status in ((b"{", 400), (b"[" * 200_000, 400), (b" " * 1_100_000, 413), (b"\xff", 400)):
        assert (await guest.post("api/messages", content=content, headers=json)).status_code == status
    form = await guest.post("api/messages", data={"id": "a", "text": "x"})
    assert form.status_code == 415


async def test_files_that_wait_are_bounded(stage: Stage, guest: httpx2.AsyncClient) -> None:
    for n in range(45):
        answer = await guest.put(f"api/uploads/u-{n}?name=../../a%00b%0A{n}", content=b"x")
        assert answer.status_code == 201
    assert len(list((stage.folder / "uploads").iterdir())) == 40
    sent = {"id": "m", "thread": "", "text": "", "files": [{"id": "u-0"}]}
    gone = await guest.post("api/messages", json=sent)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "files_gone")


async def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    config = HttpConfig(listen="127.0.0.1:0", largest_upload=1 << 20)
    async with open_stage(tmp_path, config=config) as small, logged_in(small) as guest:
        answer = await guest.put("api/uploads/big", content=bytes((1 << 20) + 1))
        assert answer.status_code == 413
        assert list((small.folder / "uploads").iterdir()) == []
        assert (await guest.put("api/uploads/fits", content=bytes(1 << 20))).status_code == 201


async def test_the_same_message_twice_is_stored_once(stage: Stage, guest: httpx2.AsyncClient) -> None:
    sent = {"id": "m-1", "thread": "t", "text": "hello", "files": []}
    first, second = [(await guest.post("api/messages", json=sent)).json() for _ in range(2)]
    assert first["message"]["id"] == second["message"]["id"]
    assert len(stage.host.offered) == 1
    other = await guest.post("api/messages", json={**sent, "text": "other"})
    assert other.status_code == 409


# -- people


async def test_the_page_fits_a_phone(stage: Stage, window: Browser) -> None:
    await window.resize(390, 780)
    try:
        await window.open(await stage.link())
        await window.until("!$('#app').hidden")
        await stage.deliver("```\n" + "wide " * 100 + "\n```\n" + "x" * 300)
        await window.click("#open-sidebar")
        await window.until("$('#open-sidebar').getAttribute('aria-expanded') === 'true'")
        await window.click("#conversations button")
        await window.until("!$('#sidebar').classList.contains('open') && $('.code')")
        assert await window.script("return document.documentElement.scrollWidth <= innerWidth")
        await window.until("$('#send').getBoundingClientRect().right <= innerWidth")
    finally:
        await window.resize(1100, 760)


async def test_answers_are_announced_to_screen_readers_once(stage: Stage, browser: Browser) -> None:
    await browser.say("hello")
    thread = (await stage.host.heard()).address.thread_id or ""
    await stage.deliver("It is **done**", thread)
    await browser.until("$('#announcer').textContent === 'Andy: It is done'")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_an_independent_check_finds_no_barrier(stage: Stage, browser: Browser, theme: str) -> None:
    await browser.script(
        "localStorage.setItem('nanoclaw.theme', JSON.stringify(arguments[0])); location.reload()", theme
    )
    await browser.until("document.documentElement.dataset.theme === given && !$('#app').hidden", theme)
    await browser.say("hello")
    thread = (await stage.host.heard()).address.thread_id or ""
    await stage.deliver(
        "Text with `code` and a [link](https://example.org)\n\n> quote\n\n```py\nx = 1\n```\n\n|a|\n|-|\n|b|",
        thread,
    )
    await stage.deliver(
        QuestionContent("q", "Title", "Text", (Option("A", "A", "a"),), free_text=True), thread
    )
    await browser.until("$('.card')")
    assert await browser.barriers() == []


async def test_the_keyboard_alone_is_enough(stage: Stage, browser: Browser) -> None:
    await browser.say("hello")
    thread = (await stage.host.heard()).address.thread_id or ""
    await stage.deliver(QuestionContent("q-1", "Deploy", "Ship it?", (Option("Yes", "Yes", "y"),)), thread)
    await browser.until("$('.card button')")
    for _ in range(10):
        await browser.press_back_tab()
        if await browser.script("return document.activeElement.dataset.value") == "y":
            break
    await browser.press(Keys.ENTER)
    assert isinstance(await stage.host.next(), Clicked)


@pytest.mark.parametrize("odd", ["\ud800 half a pair", "a\0b", "\x1b[31m", "\u202e", "🦀" * 1000])
async def test_odd_characters_are_stored_or_refused_with_a_reason(
    stage: Stage, guest: httpx2.AsyncClient, odd: str
) -> None:
    sent = await stage.deliver("hello", "t")
    target = {"thread": "t", "id": sent.platform_message_id}
    bodies: tuple[tuple[str, dict[str, object]], ...] = (
        ("messages", {"id": "m", "thread": "t", "text": odd}),
        ("messages", {"id": "n", "thread": odd[:100], "text": "x"}),
        ("reactions", {**target, "emoji": odd[:100], "event_id": "e"}),
        ("clicks", {**target, "question_id": odd, "value": odd[:1000]}),
        ("clicks", {**target, "question_id": "q", "value": "", "text": odd}),
    )
    for path, body in bodies:
        headers = {"content-type": "application/json"}
        answer = await guest.post(f"api/{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code in {200, 422}, (path, answer.text)
    assert (await guest.put("api/uploads/u?name=%ED%A0%80%00", content=b"x")).status_code == 201
    assert (await guest.get("api/state")).status_code == 200
    assert (await guest.get("api/messages?thread=t")).status_code == 200


async def test_what_came_while_the_page_was_closed_is_unread(stage: Stage, browser: Browser) -> None:
    await stage.deliver("one", "t")
    await browser.click("[data-thread=t]")
    await browser.shows("one")
    await browser.click("#new-conversation")
    await browser.open("about:blank")
    await stage.deliver("two", "t")
    await browser.open(stage.url)
    await browser.until("$('[data-thread=t] .unread')")
