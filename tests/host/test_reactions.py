"""A reaction or an edit reaches its message by the platform's id, however the runner names the message."""

import json
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.records import Address, EditContent, InboundEvent, ReactionContent
from nanoclaw.testing import FakeChannel, World, calls, says, script, wire
from tests.host.homes import only_session, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import a_host, container_runs, ledger
from tests.host.test_deliveries import says as a_row

UNKNOWN = "in-" + "0" * 32


def reacts(
    id_: str, seq: int, message_id: object, address: Address | None = None
) -> tuple[str, dict[str, Any]]:
    content = {"operation": "reaction", "messageId": message_id, "emoji": "!"}
    return a_row(id_, seq, address, json.dumps(content))


def edits(id_: str, seq: int, message_id: object) -> tuple[str, dict[str, Any]]:
    return a_row(id_, seq, None, json.dumps({"operation": "edit", "messageId": message_id, "text": "new"}))


def reactions(channel: FakeChannel) -> list[str]:
    found = [one.content for one in channel.sent]
    return [one.message_id for one in found if isinstance(one, ReactionContent | EditContent)]


async def test_an_agent_of_ours_reacts_by_the_number_that_it_sees(world: World) -> None:
    brain = script([calls("add_reaction", message_id=2, emoji="!"), says("one")])
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("hello")
    await chat.expect("one")
    [told] = rows(
        only_session(world.home).inbound_db, "SELECT json_extract(content, '$.id') FROM messages_in"
    )
    assert reactions(world.channel) == list(told)


async def test_a_runner_that_gives_the_ids_of_rows_reaches_the_messages(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime):
        await channel.say("x", event_id="m-1")
        await runtime.wait_started(1)
        [(id_,)] = rows(only_session(tmp_path).inbound_db, "SELECT id FROM messages_in")
        container_runs(
            only_session(tmp_path),
            reacts("of-a-user", 1, id_),
            reacts("of-the-platform", 3, "m-77"),
            a_row("own", 5, None),
            reacts("own-reaction", 7, "own"),
            edits("own-edit", 9, "own"),
            reacts("unknown", 11, UNKNOWN),
            reacts("late", 13, "later"),
            (
                "UPDATE messages_out SET deliver_after = '2999-01-01T00:00:00Z' WHERE id = :id",
                {"id": "own-x"},
            ),
        )
        await channel.wait_for(6)
    assert reactions(channel) == ["m-1", "m-77", "fake-3", "fake-3", "later"]
    assert ledger(tmp_path)["unknown"] == ("failed", f"there is no message {UNKNOWN}")


async def test_a_message_without_an_id_on_its_platform_is_refused_with_the_reason(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime) as host:
        await wire(host, channel.address("friend"))
        await channel.say("x", event_id="m-1")
        await runtime.wait_started(1)
        paths = only_session(tmp_path)
        [(id_,)] = rows(paths.inbound_db, "SELECT id FROM messages_in")
        later = a_row("later", 1, None)
        container_runs(
            paths,
            later,
            ("UPDATE messages_out SET deliver_after = '2999-01-01T00:00:00Z'", {}),
            a_row("broken", 3, None, "{"),
            reacts("of-later", 5, "later"),
            reacts("of-broken", 7, "broken"),
            reacts("elsewhere", 9, id_, channel.address("friend")),
            reacts("last", 11, "m-1"),
        )
        await channel.wait_for(1)
    found = ledger(tmp_path)
    assert found["of-later"] == ("failed", "message later is not delivered yet")
    assert found["of-broken"] == ("failed", "message broken could not be delivered")
    assert found["elsewhere"] == ("failed", f"message {id_} is in another chat")
    assert found["last"] == ("delivered", None)


def test_an_event_has_an_id_of_the_form_that_is_never_a_platforms() -> None:
    event: Any = InboundEvent(Address("fake", "chat"), "m-1", None)  # type: ignore[arg-type]  # it does not count
    assert len(event.message_id) == len(UNKNOWN)


@pytest.mark.parametrize("id_", ["answer-1", "task-1"])
async def test_an_id_of_a_row_that_does_not_exist_is_the_platforms(id_: str, tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime):
        await channel.say("x", event_id="m-1")
        await runtime.wait_started(1)
        container_runs(only_session(tmp_path), reacts("r", 1, id_))
        await channel.wait_for(1)
    assert reactions(channel) == [id_]
