"""Events of Discord become events of the host, and no JSON does any harm."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.channels.discord.buttons import Buttons
from nanoclaw.channels.discord.dialect import as_discord, escaped
from nanoclaw.channels.discord.directory import EVENTS, Directory
from nanoclaw.channels.discord.receiving import (
    Me,
    Place,
    channel_of,
    click_event,
    command_event,
    deletions,
    interaction_in,
    message_event,
    message_in,
    reaction_event,
)
from nanoclaw.channels.discord.wire import Unreadable
from nanoclaw.records import Address, InboundEvent, ReplyTo

ME = Me("900", "nano", "901")
PLACE = Place(Address("discord", "5"), "general", is_group=True, own_roles=frozenset({"950"}))
MESSAGE: dict[str, Any] = {
    "id": "10",
    "channel_id": "5",
    "guild_id": "800",
    "type": 0,
    "content": "hi <@900>, it is <:sun:77>",
    "author": {"id": "7", "username": "ann", "global_name": "Ann"},
    "member": {"nick": "Annie"},
    "mentions": [{"id": "900", "username": "nano", "bot": True}],
    "mention_roles": [],
    "attachments": [
        {"id": "1", "filename": "a.png", "url": "https://x/a.png", "size": 3, "content_type": "image/png"}
    ],
    "edited_timestamp": None,
    "timestamp": "2026-01-01T00:00:00+00:00",
}
REACTION: dict[str, Any] = {
    "user_id": "7",
    "channel_id": "5",
    "message_id": "11",
    "emoji": {"id": None, "name": "\N{THUMBS UP SIGN}"},
    "member": {"user": {"id": "7", "username": "ann"}},
}
INTERACTION: dict[str, Any] = {
    "id": "20",
    "token": "t",
    "type": 2,
    "application_id": "901",
    "channel_id": "5",
    "data": {"name": "ask", "options": [{"name": "text", "type": 3, "value": "why?"}]},
    "member": {"user": {"id": "7", "username": "ann"}},
}
GUILD: dict[str, Any] = {
    "id": "800",
    "name": "Home",
    "channels": [{"id": "5", "type": 0, "name": "general"}],
    "threads": [{"id": "6", "type": 11, "name": "topic", "parent_id": "5"}],
    "roles": [{"id": "950", "tags": {"bot_id": "900"}}],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def event(**changes: Any) -> InboundEvent | None:
    return message_event(message_in(MESSAGE | changes), PLACE, ME)


def test_a_message_has_what_people_see() -> None:
    found = event()
    assert found is not None
    assert found.message.text == "hi @nano, it is :sun:"
    assert (found.message.sender, found.message.sender_id) == ("Annie", "discord:7")
    assert (found.chat_name, found.is_group, found.message.is_mention) == ("general", True, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"mention_roles": ["950"]},
        {"referenced_message": {"id": "9", "author": {"id": "900"}, "content": "?"}},
    ],
)
def test_the_bots_role_and_replies_to_it_are_mentions(changes: dict[str, Any]) -> None:
    found = event(mentions=[], **changes)
    assert found is not None
    assert found.message.is_mention


def test_a_reply_quotes_its_message() -> None:
    quoted = {"id": "9", "author": {"id": "8", "username": "ben"}, "content": "rain?"}
    found = event(type=19, mentions=[], referenced_message=quoted)
    assert found is not None
    assert found.message.reply_to == ReplyTo("ben", "rain?", "9")
    assert not found.message.is_mention


@pytest.mark.parametrize(
    "changes",
    [
        {"author": {"id": "8", "bot": True}},
        {"webhook_id": "3"},
        {"type": 7},
        {"author": None},
        {"content": None},
    ],
)
def test_bots_and_notices_are_ignored(changes: dict[str, Any]) -> None:
    assert event(**changes) is None


def test_an_edit_has_a_version_and_a_preview_is_none() -> None:
    edited = message_in(MESSAGE | {"edited_timestamp": "2026-01-01T00:01:00+00:00"})
    found = message_event(edited, PLACE, ME, edited=True)
    assert found is not None
    assert found.version == "2026-01-01T00:01:00+00:00"
    assert message_event(message_in(MESSAGE), PLACE, ME, edited=True) is None


def test_reactions_and_deletions_name_their_message() -> None:
    reacted = reaction_event(REACTION, PLACE, ME, removed=False)
    assert reacted is not None
    assert (reacted.target, reacted.emoji, reacted.sender_id) == ("11", "\N{THUMBS UP SIGN}", "discord:7")
    assert reaction_event(REACTION | {"user_id": "900"}, PLACE, ME, removed=False) is None
    gone = deletions({"channel_id": "5", "ids": ["1", "2"]}, PLACE)
    assert [one.target for one in gone] == ["1", "2"]


def test_a_command_is_a_mention() -> None:
    found = command_event(interaction_in(INTERACTION), PLACE)
    assert (found.message.text, found.message.is_mention, found.message.sender_id) == (
        "why?",
        True,
        "discord:7",
    )


async def test_a_thread_belongs_to_its_channel() -> None:
    async def fetch(path: str) -> object:
        raise AssertionError(path)

    directory = Directory("discord", ME)
    directory.learn("GUILD_CREATE", GUILD)
    place = await directory.place("6", fetch)
    assert place.address == Address("discord", "5", "6")
    assert (place.name, place.own_roles) == ("general", frozenset({"950"}))


def damaged(data: st.DataObject, found: Any) -> Any:
    """Return JSON in which one part is anything."""
    if isinstance(found, dict) and found and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(found)))
        return {**found, key: damaged(data, found[key])}
    if isinstance(found, list) and found and data.draw(st.booleans()):
        return [damaged(data, found[0]), *found[1:]]
    return data.draw(JSON)


def read_everything(found: Any) -> None:
    """Call all that reads JSON of the network."""
    message = message_in(found)
    message_event(message, PLACE, ME)
    message_event(message, PLACE, ME, edited=True)


def reads_reaction(found: Any) -> None:
    reaction_event(found, PLACE, ME, removed=True)


def reads_interaction(found: Any) -> None:
    interaction = interaction_in(found)
    click_event(interaction, PLACE, "q", "v")
    command_event(interaction, PLACE)


def reads_guild(found: Any) -> None:
    for name in sorted(EVENTS):
        Directory("discord", ME).learn(name, found)


def reads_deletion(found: Any) -> None:
    deletions(found, PLACE)
    channel_of(found)


@pytest.mark.parametrize(
    ("example", "reads"),
    [
        (MESSAGE, read_everything),
        (REACTION, reads_reaction),
        (INTERACTION, reads_interaction),
        (GUILD, reads_guild),
        ({"channel_id": "5", "id": "1", "ids": ["2"]}, reads_deletion),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_events_are_unreadable_at_worst(example: Any, reads: Any, data: st.DataObject) -> None:
    found = damaged(data, example)
    try:
        reads(found)
    except Unreadable as error:
        assert len(str(error)) < 400  # noqa: PT017 -- not every example raises


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120))
async def test_any_id_of_a_button_can_be_read(custom_id: str) -> None:
    await Buttons(None).meaning(custom_id)


@settings(max_examples=100, deadline=None)
@given(st.text("#*_~`|[]()!-> \n12.ab", max_size=80))
def test_any_text_can_be_rendered(text: str) -> None:
    as_discord(text)
    escaped(text)


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("#### Small", "**Small**"),
        ("# Large", "# Large"),
        ("a\n\n---\n\nb", f"a\n\n{'─' * 12}\n\nb"),
        ("- [ ] one\n- [x] two", "- ☐ one\n- ☑ two"),
        ("__bold__ `__init__` a__b__c", "**bold** `__init__` a__b__c"),
        ("![cat](http://a/b.png)", "[cat](http://a/b.png)"),
        ("|a|b|\n|-|-|\n|1|2|", "```\na  b\n────\n1  2\n```"),
        ("```\n#### code\n---\n```", "```\n#### code\n---\n```"),
    ],
)
def test_markdown_gets_the_dialect_of_discord(markdown: str, shown: str) -> None:
    assert as_discord(markdown) == shown


def test_plain_text_keeps_its_signs_and_addresses() -> None:
    assert escaped("a*b_c 1. # http://a.b/c_d") == r"a\*b\_c 1. # http://a.b/c_d"
    assert escaped("# no\n1. no\n> no") == "\\# no\n1\\. no\n\\> no"
