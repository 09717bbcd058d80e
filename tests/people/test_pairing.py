"""Pairing: an owner types a one-time code in a direct chat, and is known there from then on."""

from collections.abc import Sequence
from random import Random

import pytest

from nanoclaw.operations.channels import PairingView
from nanoclaw.records.pairing import NewCode, code_in
from nanoclaw.registry import Bootstrap
from nanoclaw.registry.pairing import MOST_WRONG, VALID_S
from nanoclaw.routing.pairing import ANSWERS, SHOWN
from nanoclaw.store import NotAllowed
from nanoclaw.testing import Chat, User, World

OWNER = "cli:local"
PAIRED = "You are paired. I know you here now as the owner, and Nano answers in this chat."
HAS_AGENT = "You are paired. I know you here now as the owner."


async def a_code(world: World) -> PairingView:
    """Return a new code of an installation with an owner at the terminal."""
    await world.start()
    terminal = world.channel.address("terminal")
    await world.host.registry.ask(Bootstrap(OWNER, "Olga", "Nano", "main", terminal, "terminal"))
    return await world.host.admin.channels.pair("fake")


async def rights(world: World, user: User) -> Sequence[str]:
    return (await world.host.admin.users.show(user.id)).rights


def heard(chat: Chat) -> Sequence[str]:
    return [entry.text for entry in chat.transcript if entry.from_agent and entry.kind == "message"]


async def test_whoever_types_the_code_is_the_owner_and_the_agent_answers_there(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    chat = world.chat(olga)
    routed = await olga.says(code.code, in_=world.chat(olga))
    assert (routed.session_ids, routed.dropped) == ((), "the message was a code, and its sender is paired")
    await chat.expect(PAIRED)
    await olga.says("hello", in_=world.chat(olga))
    await chat.expect("echo: hello")
    shown = await world.host.admin.users.show(olga.id)
    assert (shown.person, shown.linked, shown.rights) == (OWNER, (OWNER,), ["owner"])
    assert await progress(world) == ("paired", olga.id)


async def progress(world: World) -> tuple[str, str | None]:
    found = await world.host.admin.channels.pairing("fake")
    return found.state, found.user


async def test_the_code_is_on_no_disk(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    await olga.says(code.code, in_=world.chat(olga))
    await world.chat(olga).expect(PAIRED)
    await world.stop()
    plain = code.code.replace("-", "").encode()
    for file in (each for each in world.home.rglob("*") if each.is_file()):
        content = file.read_bytes()
        assert not [each for each in (code.code.encode(), plain) if each in content], file


@pytest.mark.parametrize("form", ["{}", " {}\n", "`{}`", "/start {}", "/start@nano_bot {}"])
async def test_a_code_is_known_in_the_forms_in_which_people_and_networks_send_it(
    world: World, form: str
) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    typed = code.code.lower().replace("-", " ") if form == "{}" else code.code
    await olga.says(form.format(typed), in_=world.chat(olga))
    assert await progress(world) == ("paired", olga.id)


async def test_a_code_that_others_have_seen_is_void_and_no_agent_gets_it(world: World) -> None:
    code = await a_code(world)
    olga, eve = world.user("olga"), world.user("eve")
    club = world.group("club", [olga, eve])
    await world.wire(club)
    routed = await olga.says(code.code, in_=club)
    assert (routed.session_ids, routed.held) == ((), None)
    await club.expect(SHOWN)
    await eve.says(code.code, in_=world.chat(eve))
    await world.chat(eve).expect(ANSWERS["expired"])
    assert await rights(world, eve) == []
    assert await progress(world) == ("expired", None)


async def test_a_wrong_code_in_a_group_is_an_ordinary_message(world: World) -> None:
    await a_code(world)
    olga = world.user("olga")
    assert (await olga.says("AB2CD-EF3GH", in_=world.group("club", [olga]))).dropped is not None
    assert await progress(world) == ("waiting", None)


async def test_a_code_works_once(world: World) -> None:
    code = await a_code(world)
    olga, eve = world.user("olga"), world.user("eve")
    await olga.says(code.code, in_=world.chat(olga))
    await world.chat(olga).expect(PAIRED)
    assert (
        await olga.says(code.code, in_=world.chat(olga))
    ).dropped == "the sender has paired with this code before"
    await eve.says(code.code, in_=world.chat(eve))
    await world.chat(eve).expect(ANSWERS["used"])
    assert await rights(world, eve) == []
    assert heard(world.chat(olga)) == [
        "You are paired. I know you here now as the owner, and Nano answers in this chat."
    ]


async def test_a_code_expires(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    await world.sleep(VALID_S)
    await olga.says(code.code, in_=world.chat(olga))
    await world.chat(olga).expect(ANSWERS["expired"])
    assert await progress(world) == ("expired", None)


async def test_a_new_code_replaces_the_one_before(world: World) -> None:
    before = await a_code(world)
    now = await world.host.admin.channels.pair("fake")
    olga = world.user("olga")
    await olga.says(before.code, in_=world.chat(olga))
    await world.chat(olga).expect(ANSWERS["wrong"])
    await olga.says(now.code, in_=world.chat(olga))
    assert await progress(world) == ("paired", olga.id)


async def test_who_guesses_gets_a_few_tries_and_keeps_nobody_else_from_pairing(world: World) -> None:
    code = await a_code(world)
    olga, eve = world.user("olga"), world.user("eve")
    for _ in range(MOST_WRONG):
        await eve.says(NewCode.generate(world.random).code, in_=world.chat(eve))
    await eve.says(code.code, in_=world.chat(eve))
    await world.chat(eve).expect(ANSWERS["too many"])
    assert await rights(world, eve) == []
    await olga.says(code.code, in_=world.chat(olga))
    assert await progress(world) == ("paired", olga.id)


async def test_a_message_that_looks_like_a_code_is_for_the_agent_while_none_waits(world: World) -> None:
    olga = world.user("olga")
    chat = await world.direct(olga)
    await olga.says("AB2CD-EF3GH", in_=world.chat(olga))
    await chat.expect("echo: AB2CD-EF3GH")


async def test_the_owner_is_told_also_if_the_host_dies_before(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    world.channel.fail("unavailable", times=1000)
    await olga.says(code.code, in_=world.chat(olga))
    await world.kill_host()
    world.channel.heal()
    await world.start()
    await world.chat(olga).expect(PAIRED)
    await world.sleep(7200)
    assert len(heard(world.chat(olga))) == 1


async def test_what_the_owner_wrote_before_is_answered_after_pairing(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    assert (await olga.says("are you there?", in_=world.chat(olga))).held
    await olga.says(code.code, in_=world.chat(olga))
    await world.chat(olga).expect("echo: are you there?")


async def test_a_direct_chat_that_an_agent_answers_in_keeps_it(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    chat = await world.direct(olga, "helper")
    await olga.says(code.code, in_=chat)
    await chat.expect(HAS_AGENT)
    agents = {each.id: each.folder for each in await world.host.admin.agents.list()}
    wired = await world.host.admin.wirings.list(chat="fake:olga")
    assert [agents[each.agent_group_id] for each in wired] == ["helper"]


async def test_no_code_is_made_for_the_terminal_or_a_channel_that_is_not_there(world: World) -> None:
    await a_code(world)
    for name in ("cli", "nowhere"):
        with pytest.raises(NotAllowed, match="no channel"):
            await world.host.admin.channels.pair(name)


async def test_without_an_owner_at_the_terminal_the_sender_becomes_one(world: World) -> None:
    olga = world.user("olga")
    chat = await world.direct(olga)
    code = await world.host.admin.channels.pair("fake")
    await olga.says(code.code, in_=world.chat(olga))
    await chat.expect(HAS_AGENT)
    assert await rights(world, olga) == ["owner"]


@pytest.mark.parametrize(
    "text",
    ["strawberry", "1234567890", "AB2CD-EF3GH is the code", "AB2CD-EF3G", "IB2CD-EF3GH", "", "AB2CD--EF3GH"],
)
def test_ordinary_texts_are_no_codes(text: str) -> None:
    assert code_in(text) is None


def test_codes_have_no_characters_that_are_taken_for_one_another() -> None:
    random = Random(1)
    codes = [NewCode.generate(random).code for _ in range(1000)]
    assert not set("".join(codes)) & set("01ILOilo")
    assert all(code_in(code) == code.replace("-", "") for code in codes)
    assert len(set(codes)) == 1000


async def test_the_request_to_choose_an_agent_for_the_chat_ends(world: World) -> None:
    code = await a_code(world)
    olga = world.user("olga")
    chat = world.chat(olga)
    await olga.says("hello", in_=chat)
    [asked] = await world.host.admin.approvals.list(status="pending")
    await olga.says(code.code, in_=chat)
    await chat.expect("echo: hello")
    assert (await world.host.admin.approvals.show(asked.approval_id)).status == "expired"
