"""The endpoints for messages: what is stored once, what a client reads later, and what is refused."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from nanoclaw.records import (
    Address,
    Attachment,
    Clicked,
    EditContent,
    InboundEvent,
    Option,
    OutgoingFile,
    QuestionContent,
    ReactionContent,
    Routed,
    TextContent,
)
from nanoclaw.testing.conformance.exchanges import Host
from tests.channels.http.http_under_test import KEYS, Api, following, open_api

CHAT = Address("http", "ann")
ANN = {"authorization": f"Bearer {KEYS['ann']}"}
QUESTION = QuestionContent("q-1", "Ship?", "Shall I?", (Option("Yes", "Yes", "y"), Option("No", "No", "n")))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as found:
        yield found


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


# -- posting ----------------------------------------------------------------------


async def test_a_post_is_offered_as_its_users_message(api: Api) -> None:
    posted = await api.posted("hello", thread="t 1")
    (event,) = api.host.stored
    assert isinstance(event, InboundEvent)
    assert (event.address, event.event_id) == (Address("http", "ann", "t 1"), posted["id"])
    assert (event.message.text, event.message.sender_id, event.is_group) == ("hello", "http:ann", False)


async def test_a_post_repeated_with_its_key_is_stored_once(api: Api) -> None:
    answers = [
        await api.ann.post("/v1/messages", json={"text": "hello"}, headers={"idempotency-key": "k"})
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len(api.host.seen) == 1


async def test_a_key_of_another_message_is_refused(api: Api) -> None:
    await api.ann.post("/v1/messages", json={"text": "one"}, headers={"idempotency-key": "k"})
    answer = await api.ann.post("/v1/messages", json={"text": "two"}, headers={"idempotency-key": "k"})
    assert (answer.status_code, error_of(answer)["code"]) == (422, "idempotency_key_reused")


async def test_two_users_may_use_one_key(api: Api) -> None:
    for user in (api.ann, api.bob):
        answer = await user.post("/v1/messages", json={"text": "hi"}, headers={"idempotency-key": "k"})
        assert answer.status_code == 202
    assert len({event.message_id for event in api.host.stored}) == 2


async def test_what_the_host_does_not_take_is_not_accepted_and_may_be_repeated(tmp_path: Path) -> None:
    async with open_api(tmp_path, Host(refusals=1)) as api:
        again = {"idempotency-key": "k"}
        refused = await api.ann.post("/v1/messages", json={"text": "hi"}, headers=again)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await api.ann.get("/v1/messages")).json()["messages"] == []
        assert (await api.ann.post("/v1/messages", json={"text": "hi"}, headers=again)).status_code == 202


async def test_a_repeated_post_waits_for_the_first(tmp_path: Path) -> None:
    async with open_api(tmp_path, host := Host(at_once=False)) as api, trio.open_nursery() as nursery:
        again = {"idempotency-key": "k"}
        first = partial(api.ann.post, "/v1/messages", json={"text": "hi"}, headers=again)
        nursery.start_soon(first)
        await host.offered.wait()
        second = await api.bob.post("/v1/messages", json={"text": "hi"}, headers={**again, **ANN})
        assert (second.status_code, error_of(second)["code"]) == (409, "in_progress")
        host.let()


async def test_a_message_that_was_cut_off_is_not_in_the_transcript_of_the_next_process(
    tmp_path: Path,
) -> None:
    async with trio.open_nursery() as nursery, open_api(tmp_path, host := Host(at_once=False)) as api:
        nursery.start_soon(_post_in_vain, api)
        await host.offered.wait()
    async with open_api(tmp_path, later := Host()) as api:
        assert (await api.ann.get("/v1/messages")).json()["messages"] == []
        answer = await api.ann.post("/v1/messages", json={"text": "hi"}, headers={"idempotency-key": "k"})
        assert answer.status_code == 202
    assert [each.message_id for each in later.seen] == [each.message_id for each in host.seen]


async def _post_in_vain(api: Api) -> None:
    with suppress(httpx2.TransportError):
        await api.ann.post("/v1/messages", json={"text": "hi"}, headers={"idempotency-key": "k"})


async def test_files_of_a_form_are_on_disk_while_the_host_takes_them(tmp_path: Path) -> None:
    async with open_api(tmp_path, host := TakesFiles()) as api:
        files = {"a": ("a.txt", b"one"), "b": ("../b.bin", b"\0" * 300_000)}
        answer = await api.ann.post("/v1/messages", data={"text": "two files"}, files=files)
        assert answer.status_code == 202
        assert host.taken == [("a.txt", b"one"), ("b.bin", b"\0" * 300_000)]
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_files_may_be_base64_in_json(tmp_path: Path) -> None:
    async with open_api(tmp_path, host := TakesFiles()) as api:
        file = {"name": "a.txt", "data": b64encode(b"one").decode()}
        answer = await api.ann.post("/v1/messages", json={"files": [file]})
        assert (answer.status_code, host.taken) == (202, [("a.txt", b"one")])


class TakesFiles(Host):
    """A host that reads the files when it is offered them."""

    taken: list[tuple[str, bytes]]

    async def offer(self, event: Any) -> Routed:
        self.taken = [_read(each) for each in event.message.attachments]
        return await super().offer(event)


def _read(file: Attachment) -> tuple[str, bytes]:
    assert file.path is not None
    return file.name, file.path.read_bytes()


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"{"}, 400, "no JSON"),
    ({"content": b"[" * 100_000}, 400, "nested"),
    ({"content": b'{"text": NaN}'}, 400, "no JSON"),
    ({"content": b"\xff"}, 400, "UTF-8"),
    ({"content": b"[]"}, 422, "object"),
    ({"json": {"text": 1}}, 422, "text must be text"),
    ({"json": {"text": " "}}, 422, "text must not be empty"),
    ({"json": {"text": "a", "colour": "red"}}, 422, "colour is not known"),
    ({"json": {"text": "a", "chat": "bob"}}, 404, "no chat 'bob'"),
    ({"json": {"text": "a", "user": "bob"}}, 403, "ann"),
    ({"json": {"text": "a", "thread": "a\nb"}}, 422, "thread must"),
    ({"json": {"text": "a", "callback": "https://example.com/"}}, 422, "callback_secret"),
    ({"json": {"files": [{"name": "a", "data": "%"}]}}, 422, "files[0].data must be base64"),
    ({"content": b"a=b", "headers": {"content-type": "text/plain"}}, 415, "application/json"),
    ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "incomplete"),
    ({"json": {"text": "a"}, "headers": {"idempotency-key": "k" * 300}}, 422, "255"),
    ({"json": {"text": "a" * 1_100_000}}, 422, "1,048,576"),
]


@pytest.mark.parametrize(("request_", "status", "words"), REFUSED)
async def test_a_bad_post_is_refused_with_a_reason(
    api: Api, request_: dict[str, Any], status: int, words: str
) -> None:
    answer = await api.ann.post("/v1/messages", **request_)
    assert answer.status_code == status
    assert words in error_of(answer)["message"]
    assert api.host.seen == []


async def test_a_request_needs_a_known_key(api: Api) -> None:
    for headers in ({}, {"authorization": "Bearer nck_no"}, {"authorization": f"Bearer nck_{'x' * 43}"}):
        answer = await api.anybody.get("/v1/messages", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_too_many_requests_have_to_wait(tmp_path: Path) -> None:
    async with open_api(tmp_path, requests_a_minute=1) as api:
        statuses = [(await api.ann.get("/v1/messages")).status_code for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        assert (await api.bob.get("/v1/messages")).status_code == 200


async def test_an_upload_has_a_limit(tmp_path: Path) -> None:
    async with open_api(tmp_path, largest_upload=1024) as api:
        files = {"a": ("a.bin", b"x" * (2 << 20))}
        answer = await api.ann.post("/v1/messages", data={"text": "big"}, files=files)
        assert (answer.status_code, api.host.seen) == (413, [])
        assert list((tmp_path / "uploads").iterdir()) == []


# -- asking and following -----------------------------------------------------------


async def test_answers_are_read_after_a_number(api: Api) -> None:
    posted = await api.posted("hello")
    await api.answers("hi", in_reply_to=posted["id"])
    found = (await api.ann.get(f"/v1/messages?after={posted['seq']}")).json()
    (message,) = found["messages"]
    assert (message["text"], message["in_reply_to"], message["markdown"]) == ("hi", posted["id"], True)
    assert found["next"] == message["seq"]
    assert (await api.ann.get(f"/v1/messages?after={found['next']}")).json()["messages"] == []


async def test_a_long_poll_waits_for_an_answer_of_its_thread(api: Api) -> None:
    async with trio.open_nursery() as nursery:
        found: list[httpx2.Response] = []

        async def ask() -> None:
            found.append(await api.ann.get("/v1/messages?after=0&wait=20&thread=t"))

        nursery.start_soon(ask)
        await api.answers("elsewhere", thread="other")
        await api.answers("here", thread="t")
    assert [each["text"] for each in found[0].json()["messages"]] == ["here"]


async def test_a_repeated_delivery_is_stored_once(api: Api) -> None:
    for _ in range(2):
        await api.answers("hi", id="out-1")
    assert len((await api.ann.get("/v1/messages")).json()["messages"]) == 1


async def test_nobody_reads_the_chats_of_others(api: Api) -> None:
    await api.answers("secret")
    for path in ("/v1/messages?chat=ann", "/v1/events?chat=ann", "/v1/messages?chat=ann/main"):
        assert (await api.bob.get(path)).status_code == 404
    assert (await api.bob.get("/v1/messages")).json()["messages"] == []


async def test_a_shared_chat_is_for_its_users(tmp_path: Path) -> None:
    async with open_api(tmp_path, chats={"team": {"users": ["ann"]}}) as api:
        posted = await api.posted("@nano hello", chat="team")
        (event,) = api.host.stored
        assert isinstance(event, InboundEvent)
        assert (event.is_group, event.message.is_mention, posted["chat"]) == (True, True, "team")
        assert (await api.bob.get("/v1/messages?chat=team")).status_code == 404


async def test_history_has_messages_as_they_are_now(api: Api) -> None:
    first = await api.answers("one")
    await api.answers("edit", content=EditContent(first, "two"))
    await api.answers("reaction", content=ReactionContent(first, "👍"))
    (message,) = (await api.ann.get("/v1/messages?before=100")).json()["messages"]
    assert (message["text"], message["reactions"], message["edited"]) == ("two", ["👍"], True)


async def test_what_was_said_outlives_the_channel(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        posted = await api.posted("hello")
        await api.answers("hi", in_reply_to=posted["id"])
    async with open_api(tmp_path) as api:
        found = (await api.ann.get("/v1/messages")).json()["messages"]
        assert [each["text"] for each in found] == ["hello", "hi"]


# -- events -----------------------------------------------------------------------


async def test_a_stream_resumes_after_the_last_event(api: Api) -> None:
    await api.answers("one")
    await api.answers("two")
    async with following(api.port, "/v1/events", **{"last-event-id": "1"}) as events:
        name, message = await events.next()
        assert (name, message["text"]) == ("message", "two")


async def test_a_stream_shows_drafts_until_their_message(api: Api) -> None:
    await api.sender.draft(CHAT, "he")
    async with following(api.port, "/v1/events") as events:
        assert await events.next() == ("draft", {"chat": "ann", "thread": None, "text": "he"})
        await api.answers("hello")
        name, message = await events.next()
        assert (name, message["text"]) == ("message", "hello")
    async with following(api.port, "/v1/events?after=0") as events:
        assert (await events.next())[0] == "message"


async def test_a_message_is_settled_after_its_answer(api: Api) -> None:
    posted = await api.posted("hello")
    async with following(api.port, f"/v1/events?after={posted['seq']}") as events:
        await api.answers("hi", in_reply_to=posted["id"])
        await api.sender.settled(CHAT, posted["id"], "completed")
        assert (await events.next())[0] == "message"
        settled = {"chat": "ann", "thread": None, "id": posted["id"], "outcome": "completed"}
        assert await events.next() == ("settled", settled)


async def test_a_thousand_messages_after_a_pause_come_in_order(api: Api) -> None:
    for n in range(1000):
        await api.answers(f"{n}")
    async with following(api.port, "/v1/events?after=0") as events:
        texts = [(await events.next())[1]["text"] for _ in range(1000)]
    assert texts == [f"{n}" for n in range(1000)]


# -- questions and files -------------------------------------------------------------


async def test_a_question_is_answered_by_a_value(api: Api) -> None:
    await api.answers("q", content=QUESTION)
    (card,) = (await api.ann.get("/v1/messages")).json()["messages"]
    assert [each["label"] for each in card["options"]] == ["Yes", "No"]
    body = {"question": card["question_id"], "value": "y"}
    assert (await api.ann.post("/v1/answers", json=body)).status_code == 200
    (click,) = api.host.clicks
    assert isinstance(click, Clicked)
    assert (click.question_id, click.value, click.user_id) == ("q-1", "y", "http:ann")
    again = await api.ann.post("/v1/answers", json=body)
    assert (again.status_code, error_of(again)["code"]) == (409, "dropped")


async def test_a_file_of_an_agent_is_a_download_for_users_of_its_chat(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<script>")
    file = OutgoingFile("pägé.html", path, 8)
    await api.answers("f", content=TextContent("see", files=("pägé.html",)), files=(file,))
    path.unlink()
    (message,) = (await api.ann.get("/v1/messages")).json()["messages"]
    place = f"/v1/files/{message['files'][0]['id']}"
    answer = await api.ann.get(place)
    assert answer.content == b"<script>"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (await api.bob.get(place)).status_code == 404
    assert (await api.ann.get("/v1/files/..%2Ftranscript.db")).status_code == 404
