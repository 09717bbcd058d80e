"""Values that channels and embedders hand in. A real host on real files; its runners do nothing."""

import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import evolve

from nanoclaw import BadEvent, NotAccepted
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.operations import Caller
from nanoclaw.records import (
    Address,
    Attachment,
    ChatMessage,
    Clicked,
    Deleted,
    InboundEvent,
    Reacted,
    ReplyTo,
    SdkMessage,
    Webhook,
)
from nanoclaw.records.files import decoded
from nanoclaw.store import NotAllowed, OperationRefused, ThreadExecutor
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, rows
from tests.host.runtimes import FakeRuntime

CHAT = Address("fake", "chat")
GOOD = InboundEvent(CHAT, "event", ChatMessage("1", "hello", "Ann", "fake:ann"))
NESTED: list[Any] = [1]
for _ in range(64):
    NESTED = [NESTED]
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)
RAW = bytes(range(256)) * 2
LONG = "x" * 1001


@asynccontextmanager
async def a_host(home: Path) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=FakeRuntime(), executor=ThreadExecutor())
        async with open_host(config(home), channels=[FakeChannel()], seams=seams) as host:
            yield host


def stored(home: Path, part: str = "$.text") -> list[Any]:
    """Return a part of each stored message, in order of `seq`."""
    [file] = (home / "data" / "sessions").glob("*/*/inbound/inbound.db")
    sql = "SELECT content ->> '$.text' FROM messages_in ORDER BY seq"
    return [each for (each,) in rows(file, sql.replace("$.text", part))]


def event(**values: Any) -> InboundEvent:
    return evolve(GOOD, **values)


def message(**values: Any) -> InboundEvent:
    return evolve(GOOD, message=evolve(GOOD.message, **values))


def address(*parts: Any) -> InboundEvent:
    return evolve(GOOD, address=Address(*parts))


def attached(*values: Any, **named: Any) -> InboundEvent:
    return message(attachments=(Attachment(*values, **named),))


def sdk(**changes: Any) -> SdkMessage:
    return SdkMessage(CHAT, "e", {"id": "1", "text": "x", "author": {"userId": "7"}, **changes})


BAD: list[tuple[Any, str]] = [
    (event(event_id=5), "event_id must be text, got 5"),
    (event(event_id=""), "event_id must be text of 1 to 1,000 characters, got ''"),
    (event(event_id=LONG), "event_id must be text of 1 to 1,000 characters"),
    (event(version=2), "version must be text, got 2"),
    (event(chat_name=b"x"), "chat_name must be text, got b'x'"),
    (event(is_group="yes"), "is_group must be true or false, got 'yes'"),
    (event(address="fake:chat"), "address must be a value of Address, got 'fake:chat'"),
    (event(message={"text": "x"}), "message must be a value of ChatMessage, got {'text': 'x'}"),
    (address("fake", -100), "address.platform_id must be text, got -100"),
    (address("", "chat"), "address.channel_type must be text of 1 to 1,000 characters, got ''"),
    (address("fake", "chat", 7), "address.thread_id must be text, got 7"),
    (message(id=1), "message.id must be text, got 1"),
    (message(text=None), "message.text must be text, got None"),
    (message(text=b"x"), "message.text must be text, got b'x'"),
    (message(sender=None), "message.sender must be text, got None"),
    (message(sender_id=7), "message.sender_id must be text, got 7"),
    (message(sender_id="ann"), "message.sender_id must be a user id with its network's prefix"),
    (message(sender_id="fake:"), "message.sender_id must be a user id with its network's prefix"),
    (message(sender_id=":ann"), "message.sender_id must be a user id with its network's prefix"),
    (message(is_mention=1), "message.is_mention must be true or false, got 1"),
    (message(is_from_me=None), "message.is_from_me must be true or false, got None"),
    (message(reply_to="1"), "message.reply_to must be a value of ReplyTo, got '1'"),
    (message(reply_to=ReplyTo("Ann", 5)), "message.reply_to.text must be text, got 5"),  # type: ignore[arg-type]
    (message(attachments="abc"), "message.attachments must be a tuple or list, got 'abc'"),
    (message(attachments=("a",)), "message.attachments[0] must be a value of Attachment, got 'a'"),
    (attached("file", None), "message.attachments[0].name must be text, got None"),
    (attached("file", "a", data=b"aGk="), "message.attachments[0].data must be text, got b'aGk='"),
    (attached("file", "a", url=7), "message.attachments[0].url must be text, got 7"),
    (Clicked(CHAT, "e", 5, "v", "fake:ann"), "question_id must be text, got 5"),  # type: ignore[arg-type]
    (Clicked(CHAT, "e", "q", 1, "fake:ann"), "value must be text, got 1"),  # type: ignore[arg-type]
    (Clicked(CHAT, "e", "q", "v", "ann"), "user_id must be a user id with its network's prefix"),
    (Deleted(CHAT, 5), "target must be text, got 5"),  # type: ignore[arg-type]
    (Deleted(CHAT, ""), "target must be text of 1 to 1,000 characters, got ''"),
    (Deleted(CHAT, "1", "ann"), "sender_id must be a user id with its network's prefix"),
    (Reacted(CHAT, "", "1", "x", "Ann", "fake:ann"), "event_id must be text of 1 to 1,000 characters"),
    (Reacted(CHAT, "e", LONG, "x", "Ann", "fake:ann"), "target must be text of 1 to 1,000 characters"),
    (Reacted(CHAT, "e", "1", "", "Ann", "fake:ann"), "emoji must be text of 1 to 100 characters, got ''"),
    (Reacted(CHAT, "e", "1", "x", "Ann", "ann"), "sender_id must be a user id with its network's prefix"),
    (Reacted(CHAT, "e", "1", "x", "Ann", "fake:ann", 1), "removed must be true or false, got 1"),  # type: ignore[arg-type]
    (Webhook(CHAT, "e", "", "push"), "source must be text of 1 to 200 characters, got ''"),
    (Webhook(CHAT, "e", "s", 7), "event must be text, got 7"),  # type: ignore[arg-type]
    (Webhook(CHAT, "e", "s", "e", {1, 2}), "payload must be a JSON value of at most 262,144 characters"),
    (Webhook(CHAT, "e", "s", "e", b"{}"), "payload must be a JSON value"),
    (Webhook(CHAT, "e", "s", "e", float("nan")), "payload must be a JSON value"),
    (Webhook(CHAT, "e", "s", "e", "x" * 262_143), "payload must be a JSON value.*; it has 262,145"),
    (Webhook(CHAT, "e", "s", "e", [0] * 65_600 + [[]] * 65_600), "it has"),
    (Webhook(CHAT, "e", "s", "e", NESTED), "payload must be a JSON value.*; it has more levels"),
    (Webhook(CHAT, "e", "s", "e", CIRCULAR), "payload must be a JSON value.*; Circular reference"),
    (SdkMessage(CHAT, "e", "hello"), "content must be a JSON object, got 'hello'"),  # type: ignore[arg-type]
    (SdkMessage(CHAT, "e", {}), "content.author must be an object with userId, got None"),
    (sdk(id=5), "content.id must be text, got 5"),
    (sdk(text=None), "content.text must be text, got None"),
    (sdk(author={"userId": 7}), "content.author.userId must be text that is not empty, got 7"),
    (sdk(author={"userId": "7" * 1001}), "sender_id must be text of 1 to 1,000 characters"),
    (sdk(attachments="abc"), "content.attachments must be a list of objects, got 'abc'"),
    (sdk(attachments=[{"data": 5}]), "content.attachments[0].data must be text, the base64 of the file"),
    (sdk(metadata=[0] * 200_001), "content must be a JSON object.*; it has more values"),
    (None, "must be a value of InboundEvent, got None"),
    ({"text": "x"}, "must be a value of InboundEvent, got {'text': 'x'}"),
]


async def test_an_event_with_a_bad_value_is_refused_with_its_field_and_value_and_harms_no_session(
    tmp_path: Path,
) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await host.intake.offer(message(text="before"))
        for bad, error in BAD:
            with pytest.raises(BadEvent) as refused:
                await host.intake.offer(bad)
            assert re.search(error.replace("[", r"\[").replace("(", r"\("), str(refused.value)), error
        await host.intake.offer(evolve(message(text="after"), event_id="2"))
        assert await host.admin.parked.list() == []
        assert [user.id for user in await host.admin.users.list()] == ["fake:ann"]
        assert [session.restarts for session in host.sessions.nodes()] == [0]
    assert stored(tmp_path) == ["before", "after"]


async def test_a_list_of_attachments_is_as_good_as_a_tuple(tmp_path: Path) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await host.intake.offer(message(attachments=[Attachment("image", "a\ud83d\ude00")]))
    assert stored(tmp_path, "$.attachments[0].name") == ["a😀"]


async def test_a_surrogate_pair_becomes_its_character_and_a_lone_surrogate_a_question_mark(
    tmp_path: Path,
) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await host.intake.offer(message(text="\ud83d\ude00 \ud800\ud83d\ude00 \udfff é"))
    assert stored(tmp_path) == ["😀 ?😀 ? é"]


# -- ids of users ----------------------------------------------------------------

PLACES: dict[str, Callable[[Host], Any]] = {
    "users.create": lambda host: host.admin.users.create("ann"),
    "roles.grant": lambda host: host.admin.roles.grant("ann", "owner"),
    "members.add": lambda host: host.admin.members.add("ann", "main"),
    "bootstrap": lambda host: host.bootstrap(CHAT, "Chat", owner_id="ann", owner_name="Ann"),
    "wirings.create": lambda host: host.admin.wirings.update("w", trigger_rules={"includeSenders": ["ann"]}),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_user_id_without_its_prefix_is_refused_everywhere(tmp_path: Path, place: str) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        with pytest.raises(NotAllowed, match="user id"):
            await PLACES[place](host)


def test_a_caller_is_known_by_a_whole_user_id() -> None:
    with pytest.raises(NotAllowed, match="user id"):
        Caller.user("ann")


# -- values of embedders -----------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            lambda admin: admin.wirings.connect(address("fake", 5).address, "main"),
            "WireChat: address.platform_id",
        ),
        (lambda admin: admin.wirings.connect(CHAT, 5), "WireChat: folder must be text, got 5"),
        (lambda admin: admin.wirings.connect(CHAT, "main", policy="open"), "policy must be one of strict"),
        (lambda admin: admin.users.create(5), "user must be text, got 5"),
        (lambda admin: admin.members.add("fake:a", ["main"]), r"agent must be text, got \['main'\]"),
        (
            lambda admin: admin.approvals.create("pay", {}, expires_at="soon"),
            "expires_at must be a date and time with its zone, got 'soon'",
        ),
        (
            lambda admin: admin.questions.create("q", "s", "out-1", title="Tea?", options=["yes", 5]),
            r"options of question 'q': options\[1\] is neither text nor an object",
        ),
        (lambda admin: admin.chats.create("fake:x", is_group="no"), "is_group must be true or false"),
    ],
)
async def test_a_bad_value_of_an_embedder_is_refused_by_name(
    tmp_path: Path, call: Callable[[Any], Any], error: str
) -> None:
    async with a_host(tmp_path) as host:
        with pytest.raises(OperationRefused, match=error):
            await call(host.admin)
        assert await host.admin.users.list() == []


# -- files -------------------------------------------------------------------------

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": base64.b64encode,
    "in lines": base64.encodebytes,
    "in lines with carriage returns": lambda raw: base64.encodebytes(raw).replace(b"\n", b"\r\n"),
    "url-safe": base64.urlsafe_b64encode,
    "url-safe without padding": lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="),
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_in_any_form_of_base64_is_kept(tmp_path: Path, form: str) -> None:
    for length in range(4):
        assert decoded(FORMS[form](RAW[:length]).decode()) == RAW[:length]
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await host.intake.offer(attached("file", "a.bin", data=FORMS[form](RAW).decode()))
    [file] = (tmp_path / "data" / "sessions").glob("*/*/inbound/inbox/*/a.bin")
    assert file.read_bytes() == RAW
    assert stored(tmp_path) == ["hello"]


@pytest.mark.parametrize("data", ["a", "aGk=aGk=", "aG%k", "aGké", "\ud800"])
async def test_a_file_that_cannot_be_decoded_is_told_to_the_agent(tmp_path: Path, data: str) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await host.intake.offer(attached("file", "a\n].bin", data=data))
    [text] = stored(tmp_path)
    assert text == "hello\n[The file 'a\\n].bin' of this message is lost: its base64 is invalid.]"


# -- damaged rows ------------------------------------------------------------------


async def test_a_damaged_row_of_a_chat_is_a_refusal_that_names_it_and_harms_no_other_chat(
    tmp_path: Path,
) -> None:
    async with a_host(tmp_path) as host:
        await wire(host, CHAT)
        await wire(host, Address("fake", "other"))
    connection = apsw.Connection(str(tmp_path / "data" / "v2.db"))
    connection.execute(
        "UPDATE messaging_groups SET unknown_sender_policy = 'maybe' WHERE platform_id = 'chat'"
    )
    connection.close()
    async with a_host(tmp_path) as host:
        with pytest.raises(NotAccepted, match="unknown_sender_policy"):
            await host.intake.offer(GOOD)
        assert (await host.intake.offer(address("fake", "other"))).session_ids
