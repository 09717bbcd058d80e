"""Webhooks, and messages in the form of the chat library: two further doors in."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import evolve

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import Address, SdkMessage, Webhook, received
from nanoclaw.store import ThreadExecutor
from nanoclaw.testing import FakeChannel, World, asks, says, script, wire
from tests.host.homes import GUARD_S, config, rows
from tests.host.runtimes import FakeRuntime

CHAT = Address("fake", "chat")
AUTHOR = {"userId": "7", "userName": "ann", "fullName": "Ann A.", "isBot": False, "isMe": False}
MESSAGE = {
    "id": "m-1",
    "threadId": "fake:chat",
    "text": "hello",
    "author": AUTHOR,
    "metadata": {"edited": False},
    "attachments": [],
    "isMention": False,
    "links": [],
}


@asynccontextmanager
async def a_host(home: Path, channel: FakeChannel) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=FakeRuntime(), executor=ThreadExecutor())
        async with open_host(config(home), channels=[channel], seams=seams) as host:
            yield host


def stored(home: Path) -> list[tuple[str, int, dict[str, Any]]]:
    """Return kind, trigger and content of each row, in order of `seq`."""
    [file] = (home / "data" / "sessions").glob("*/*/inbound/inbound.db")
    found = rows(file, "SELECT kind, trigger, content FROM messages_in ORDER BY seq")
    return [(kind, trigger, json.loads(content)) for kind, trigger, content in found]


def sdk(event_id: str = "1", version: str = "", **changes: Any) -> SdkMessage:
    return SdkMessage(CHAT, event_id, {**MESSAGE, **changes}, version)


# -- webhooks ----------------------------------------------------------------------


async def test_a_webhook_is_stored_once_for_each_agent_of_its_address(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT, policy="strict")
        payload = {"branch": "main", "commits": [{"n": 1}]}
        routed = [
            await channel.call("push", payload, source="github", event_id="delivery-1") for _ in range(2)
        ]
        assert routed[0] == routed[1]
        assert len(routed[0].session_ids) == 1
        assert await host.admin.users.list() == []
    assert stored(tmp_path) == [("webhook", 1, {"source": "github", "event": "push", "payload": payload})]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"mentionOnly": True},
        {"pattern": "^claw"},
        {"includeSenders": ["fake:ann"]},
        {"mentionOnly": True, "sticky": True},
    ],
)
async def test_a_webhook_is_for_the_agent_whatever_the_rules_say_about_messages(
    tmp_path: Path, rules: dict[str, object]
) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT, policy="strict", trigger_rules=rules)
        assert (await channel.call("push")).session_ids
        assert not (await channel.say("so what?", user="eve")).session_ids


async def test_a_webhook_engages_the_agent_in_no_thread(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT, trigger_rules={"mentionOnly": True, "sticky": True})
        await channel.call("push")
        assert not (await channel.say("so what?")).session_ids


async def test_a_webhook_for_a_wiring_with_bad_rules_reaches_nobody(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
    connection = apsw.Connection(str(tmp_path / "data" / "v2.db"))
    connection.execute("UPDATE messaging_group_agents SET trigger_rules = ?", ('{"x": 1}',))
    connection.close()
    async with a_host(tmp_path, channel):
        assert not (await channel.call("push")).session_ids


async def test_a_webhook_without_a_wired_address_is_dropped_and_counted(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        for _ in range(2):
            routed = await channel.call("push", source="github")
            assert (routed.session_ids, routed.dropped) == ((), "no agent is wired to this chat")
        [row] = await host.admin.dropped.list()
        assert (row.user_id, row.sender_name, row.message_count) == (None, "github", 2)


async def test_an_agent_answers_a_webhook_in_the_chat(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script(says("a push!"))))
    await chat.webhook("push", {"branch": "main"}, source="github")
    await chat.expect("a push!")
    assert str(chat.transcript[0]).endswith("github (webhook): push")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("payload", [None, "text", 5, 1.5, True, [], {}, {"a": [None]}, nested(63), (1, 2)])
async def test_any_json_value_is_a_payload(tmp_path: Path, payload: Any) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
        await channel.call("push", payload)
    assert stored(tmp_path)[0][2]["payload"] == (list(payload) if isinstance(payload, tuple) else payload)


def test_an_event_has_a_copy_of_its_payload() -> None:
    payload, content = {"n": [1]}, {**MESSAGE, "author": dict(AUTHOR)}
    webhook, message = (
        received(Webhook(CHAT, "1", "s", "e", payload)),
        received(SdkMessage(CHAT, "1", content)),
    )
    payload["n"].append(2)
    content["author"]["userId"] = "8"  # type: ignore[index]  # it is a dict
    assert isinstance(webhook, Webhook)
    assert webhook.payload == {"n": [1]}
    assert isinstance(message, SdkMessage)
    assert message.message.sender_id == "fake:7"


# -- messages of the chat library --------------------------------------------------


async def test_a_message_of_the_library_is_stored_as_it_is(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
        routed = [await channel.offer(sdk()) for _ in range(2)]
        assert routed[0] == routed[1]
        assert [(user.id, user.display_name) for user in await host.admin.users.list()] == [
            ("fake:7", "Ann A.")
        ]
    [(kind, trigger, content)] = stored(tmp_path)
    assert (kind, trigger) == ("chat-sdk", 1)
    assert content == {key: value for key, value in MESSAGE.items() if key != "attachments"}


async def test_access_and_rules_of_the_library_s_messages_follow_author_and_mention(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT, policy="strict", trigger_rules={"mentionOnly": True, "sticky": True})
        await host.admin.users.create("fake:7")
        await host.admin.members.add("fake:7", "main")
        assert not (await channel.offer(sdk("1"))).session_ids
        assert (await channel.offer(sdk("2", isMention=True))).session_ids
        assert (await channel.offer(sdk("3"))).session_ids
        stranger = await channel.offer(sdk("4", isMention=True, author={**AUTHOR, "userId": "8"}))
        assert stranger.dropped == "the sender is not known here"
        own = await channel.offer(sdk("5", isMention=True, author={**AUTHOR, "isMe": True}))
        assert own.dropped == "the message is the assistant's own"


async def test_edits_and_deletions_of_the_library_s_messages_name_them(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
        await channel.offer(sdk())
        await channel.offer(sdk(version="2", text="hello!"))
        assert (await channel.delete("m-1")).session_ids
    assert [content.get("editOf") for _, _, content in stored(tmp_path)] == [None, 2, None]
    assert stored(tmp_path)[2][2]["messageId"] == 2


async def test_files_of_the_library_s_messages_are_in_the_inbox(tmp_path: Path) -> None:
    channel = FakeChannel()
    files = [
        {"type": "file", "name": "a.txt", "mimeType": "text/plain", "data": base64.b64encode(b"hi").decode()},
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "file", "name": "bad", "data": "%"},
    ]
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
        await channel.offer(sdk(attachments=files))
    [(_, _, content)] = stored(tmp_path)
    [file] = (tmp_path / "data" / "sessions").glob("*/*/inbound/inbox/*/a.txt")
    assert file.read_bytes() == b"hi"
    path = f"in/inbox/{file.parent.name}/a.txt"
    assert content["attachments"] == [
        {"type": "file", "name": "a.txt", "mimeType": "text/plain", "localPath": path},
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "file", "name": "bad"},
    ]
    assert "'bad' of this message is lost" in content["text"]


async def test_a_path_in_a_message_of_the_library_is_not_believed(tmp_path: Path) -> None:
    channel = FakeChannel()
    files = [{"type": "file", "name": "a", "localPath": "in/inbox/other/secret", "data": "aGk="}]
    async with a_host(tmp_path, channel) as host:
        await wire(host, CHAT)
        await channel.offer(sdk(attachments=files))
        await channel.offer(sdk("2", attachments=[{"type": "file", "localPath": "../../agent/x"}]))
    first, second = (content["attachments"][0] for _, _, content in stored(tmp_path))
    assert first["localPath"].endswith("/a")
    assert "secret" not in first["localPath"]
    assert "localPath" not in second


async def test_a_message_of_the_library_may_answer_a_question_in_words(world: World) -> None:
    world.channel.buttons = False
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script(asks("Tea?", "yes", "no"))))
    await ann.says("hello")
    await chat.expect(lambda entry: "Tea?" in entry.text)
    event = evolve(sdk("9", text="yes", author={**AUTHOR, "userId": "ann"}), address=chat.address)
    routed = await world.channel.offer(event)
    assert routed.message_ids[0].startswith("answer-")
