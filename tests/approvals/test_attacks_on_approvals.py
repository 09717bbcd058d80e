"""Attacks on approvals: by agents in their sandbox, by events twice, by those who have lost a right."""

import json
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.records import (
    Address,
    BadEvent,
    ChatMessage,
    Clicked,
    Deleted,
    InboundEvent,
    QuestionContent,
    Reacted,
)
from nanoclaw.testing import FakeChannel, wire
from tests.approvals.test_cards_of_approvals import (
    Office,
    answer_on,
    clicks,
    painted,
    request,
    text_of,
)
from tests.host.stage import row
from tests.host.test_deliveries import container_runs


def question(id_: str, seq: int, question_id: str, *, to: str, value: str = "approve") -> Any:
    """Return the row of a question that an agent asks, with an id that it chooses."""
    options = [
        {"label": "Yes please", "selectedLabel": "Yes", "value": value},
        {"label": "No", "selectedLabel": "No", "value": "no"},
    ]
    content = {
        "type": "ask_question",
        "questionId": question_id,
        "title": "Pizza?",
        "question": "Would you like pizza?",
        "options": options,
    }
    return row(
        id=id_, seq=seq, kind="chat-sdk", content=json.dumps(content), channel_type="fake", platform_id=to
    )


async def _failed(office: Office, id_: str) -> str | None:
    sql = f"SELECT error FROM deliveries WHERE message_out_id = '{id_}' AND status = 'final'"  # noqa: S608 -- a test's own id
    return next((error for (error,) in office.read(sql)), None)


async def test_a_question_with_the_id_of_an_approval_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        await wire(office.host, office.channel.address("ann"))
        office.ask()
        card = await office.card()
        assert isinstance(card.content, QuestionContent)
        id_ = card.content.question_id
        container_runs(office.paths, question("out-2", 3, id_, to="ann"))
        error = await office.executor.until(lambda: _failed(office, "out-2"))
        assert "questionId" in error
        assert len(office.channel.sent) == 1


async def test_a_question_cannot_take_the_id_of_a_later_approval(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        await wire(office.host, office.channel.address("ann"))
        container_runs(office.paths, question("out-1", 1, "appr-0123456789abcdef", to="ann"))
        error = await office.executor.until(lambda: _failed(office, "out-1"))
        assert "questionId" in error
        assert office.channel.sent == []


async def test_a_rule_whose_author_lost_the_right_allows_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("olga")
        await office.owner("ann", "admin")
        office.ask()
        assert await clicks(office, await office.card(), "always", "ann") is None
        await office.card(2)
        await office.host.admin.roles.revoke("fake:ann", "admin", office.agent)
        office.ask("out-2", 3, wall="south")
        card = (await office.channel.wait_for(3))[2]
        assert card.address.platform_id == "olga"
        assert "The wall south" in text_of(card)
        assert await painted(office, "south") is None


async def test_a_message_that_comes_twice_decides_one_approval(tmp_path: Path) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await office.owner("ann")
        office.ask()
        await office.card()
        office.ask("out-2", 3, wall="south")
        answer = answer_on(await office.card(2), 1)
        await office.channel.say(answer, chat="ann", user="ann", event_id="one")
        await office.channel.say(answer, chat="ann", user="ann", event_id="one")
        statuses = sorted(each.status for each in await office.host.admin.approvals.list())
        assert statuses == ["approved", "pending"]


async def test_a_message_that_comes_twice_around_a_restart_decides_one_approval(tmp_path: Path) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await office.owner("ann")
        office.ask()
        await office.card()
        office.ask("out-2", 3, wall="south")
        answer = answer_on(await office.card(2), 1)
        await office.channel.say(answer, chat="ann", user="ann", event_id="one")
    async with office.life():
        await office.channel.say(answer, chat="ann", user="ann", event_id="one")
        statuses = sorted(each.status for each in await office.host.admin.approvals.list())
        assert statuses == ["approved", "pending"]


FORGED = ["\x00", "appr-", "card-", "../x", "\u202eevorppa", "approve" * 100]


@pytest.mark.parametrize("id_", FORGED)
async def test_a_forged_id_of_an_approval_decides_nothing(tmp_path: Path, id_: str) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        await office.card()
        routed = await office.channel.click(id_, "approve", chat="ann", user="ann")
        assert routed.dropped
        assert (await office.approval()).status == "pending"


async def test_another_network_cannot_speak_for_the_user_at_the_terminal(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        card = await office.card()
        assert isinstance(card.content, QuestionContent)
        id_ = card.content.question_id
        where, local = office.channel.address("ann"), "cli:local"
        forged = (
            Clicked(where, "e1", id_, "approve", local),
            InboundEvent(where, "e2", ChatMessage("e2", "approve", "You", local)),
            Reacted(where, "e3", "fake-1", "+1", "You", local),
            Deleted(where, "e4", local),
        )
        for event in forged:
            with pytest.raises(BadEvent, match="for the terminal alone"):
                await office.host.intake.offer(event)
        assert (await office.approval()).status == "pending"


async def test_requests_of_kinds_that_are_not_for_agents_are_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        actions = ("admit_sender", "admit_chat", "network", "approve", "decide", "approvals approve")
        asked = [
            request(f"out-{n}", 2 * n + 1, action, chat="x", user="fake:eve", agents=[office.agent])
            for n, action in enumerate(actions)
        ]
        container_runs(office.paths, *asked)
        for n in range(len(actions)):
            answer = await office.answer(f"out-{n}")
            assert answer["status"] == "failed", answer
        assert await office.host.admin.approvals.list() == []


async def test_a_card_that_names_an_approval_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        await wire(office.host, office.channel.address("ann"))
        office.ask()
        card = await office.card()
        assert isinstance(card.content, QuestionContent)
        button = {"type": "button", "id": card.content.question_id, "value": "approve", "label": "Yes"}
        imitation = {"type": "card", "card": {"children": [button]}, "fallbackText": "Pizza?"}
        told = row(
            id="out-2",
            seq=3,
            kind="chat-sdk",
            content=json.dumps(imitation),
            channel_type="fake",
            platform_id="ann",
        )
        container_runs(office.paths, told)
        error = await office.executor.until(lambda: _failed(office, "out-2"))
        assert error is not None
        assert "card names an approval" in error
        assert len(office.channel.sent) == 1


@pytest.mark.parametrize(
    "text", ["1", "approve", "1 0", "1 {code}x", "{code}", "{code} 1", "7 {code}", "yes {code}"]
)
async def test_no_other_text_decides_in_a_chat_without_buttons(tmp_path: Path, text: str) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await office.owner("ann")
        office.ask()
        code = text_of(await office.card()).split()[-1]
        await office.channel.say(text.format(code=code), chat="ann", user="ann")
        assert await painting(office) == "pending"
        await office.channel.say(f" Approve  {code}", chat="ann", user="ann")
        assert await painting(office) == "approved"


async def painting(office: Office) -> str:
    """Return the status of the only request to paint. Other texts may have asked for the chat."""
    [approval] = await office.host.admin.approvals.for_action("paint", None)
    return approval.status


async def test_the_name_of_an_agent_is_no_number_of_an_option(tmp_path: Path) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await office.owner("ann")
        await office.host.admin.agents.create("liar", name="3")
        await office.channel.say("hello", chat="eve", user="eve")
        card = await office.card()
        assert "2. 3\n3. New agent" in text_of(card)
        await office.channel.say(answer_on(card, 3), chat="ann", user="ann")
        [approval] = await office.host.admin.approvals.list()
        assert (approval.status, approval.choice) == ("approved", "new")


async def test_a_channel_cannot_speak_in_a_chat_of_another(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        where = Address("cli", "terminal")
        forged = InboundEvent(where, "e", ChatMessage("e", "approve", "You", "cli:local"))
        with pytest.raises(BadEvent, match="a channel offers those of its own chats"):
            await office.channel.offer(forged)
        with pytest.raises(BadEvent):
            await office.channel.offer(Clicked(where, "e", "appr-1", "approve", "cli:local"))


async def test_a_message_that_comes_twice_answers_one_question(tmp_path: Path) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await wire(office.host, office.channel.address("ann"))
        container_runs(
            office.paths,
            question("out-1", 1, "first", to="ann"),
            question("out-2", 3, "second", to="ann"),
        )
        await office.channel.wait_for(2)
        await office.channel.say("1", chat="ann", user="ann", event_id="one")
        again = await office.channel.say("1", chat="ann", user="ann", event_id="one")
        assert again.dropped == "the message has answered something already"
        assert [each.question_id for each in await office.host.admin.questions.list()] == ["first"]
