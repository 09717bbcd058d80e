"""Payloads of Slack are read as documented, and whatever else comes is nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.channels.slack.receiving import (
    MemberChanged,
    Pressed,
    Reaction,
    Removed,
    Renamed,
    Said,
    button_of,
    button_value,
    seen_in,
)


def event(**values: object) -> dict[str, Any]:
    return {"type": "event_callback", "event": values}


MESSAGE: dict[str, Any] = {"type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": "1.1"}


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (event(**MESSAGE), Said("C1", "1.1", "U1", "hi")),
        (event(**MESSAGE, thread_ts="1.0"), Said("C1", "1.1", "U1", "hi", "1.0")),
        (event(**MESSAGE, thread_ts="1.1"), Said("C1", "1.1", "U1", "hi")),
        (event(**MESSAGE, channel_type="im"), Said("C1", "1.1", "U1", "hi", direct=True)),
        (event(**{**MESSAGE, "type": "app_mention"}), Said("C1", "1.1", "U1", "hi")),
        (event(**MESSAGE, subtype="channel_join"), None),
        (
            event(
                type="message",
                subtype="message_changed",
                channel="C1",
                message={**MESSAGE, "text": "ho", "edited": {"ts": "2.0"}},
                previous_message=MESSAGE,
            ),
            Said("C1", "1.1", "U1", "ho", version="2.0"),
        ),
        (
            event(
                type="message",
                subtype="message_changed",
                channel="C1",
                message={**MESSAGE, "attachments": [{}], "edited": {"ts": "2.0"}},
                previous_message=MESSAGE,
            ),
            None,
        ),
        (
            event(
                type="message",
                subtype="message_deleted",
                channel="C1",
                deleted_ts="1.1",
                previous_message={"thread_ts": "1.0"},
            ),
            Removed("C1", "1.1", "1.0"),
        ),
        (
            event(
                type="reaction_added",
                user="U1",
                reaction="+1",
                item={"type": "message", "channel": "C1", "ts": "1.1"},
                item_user="U2",
                event_ts="3.0",
            ),
            Reaction("C1", "1.1", "U2", "U1", "+1", "3.0", removed=False),
        ),
        (
            event(type="channel_rename", channel={"id": "C1", "name": "new"}, event_ts="4.0"),
            Renamed("C1", "new", "4.0"),
        ),
        (
            event(type="member_left_channel", channel="C1", user="U1", event_ts="5.0"),
            MemberChanged("C1", "U1", "5.0", "left"),
        ),
    ],
)
def test_an_event_is_read(payload: dict[str, Any], seen: object) -> None:
    assert seen_in("events_api", payload) == seen


def test_a_press_is_read() -> None:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "container": {"channel_id": "C1", "message_ts": "1.1", "thread_ts": "1.0"},
        "actions": [{"value": button_value("q", "yes"), "action_ts": "6.0"}],
    }
    assert seen_in("interactive", payload) == Pressed("C1", "1.0", "U1", "q", "yes", "6.0")


@given(st.text(min_size=1, max_size=200), st.text(max_size=128))
def test_a_button_carries_the_question_and_the_option(question: str, value: str) -> None:
    assert button_of(button_value(question, value)) == (question, value)


KEYS = [
    "event",
    "type",
    "subtype",
    "channel",
    "user",
    "ts",
    "text",
    "message",
    "previous_message",
    "files",
    "item",
    "actions",
    "container",
    "value",
    "edited",
    "thread_ts",
    "reaction",
    "event_ts",
    "action_ts",
    "id",
    "size",
]
WORDS = ["message", "message_changed", "message_deleted", "block_actions", "reaction_added"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@given(st.sampled_from(["events_api", "interactive", "slash_commands", ""]), JSON)
def test_nothing_that_slack_sends_breaks_the_reader(kind: str, payload: object) -> None:
    seen = seen_in(kind, payload)
    assert seen is None or seen.channel


@given(st.text(max_size=50) | JSON.map(json.dumps))
def test_a_foreign_button_is_no_choice(text: str) -> None:
    found = button_of(text)
    assert found is None or all(isinstance(each, str) for each in found)
