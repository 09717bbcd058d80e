"""The parser of events: it reads what clients write, and nothing that anybody writes makes it fail."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.channels.matrix.receiving import (
    Encrypted,
    FileKey,
    Membership,
    Message,
    Reaction,
    Redaction,
    RemoteFile,
    mentioned,
    read,
    since_invited,
)

ME = "@bot:example.org"
ANN = "@ann:example.org"


def event(content: object, kind: str = "m.room.message", **more: object) -> dict[str, object]:
    return {"event_id": "$1", "sender": ANN, "type": kind, "content": content, **more}


def said(body: str, **more: object) -> dict[str, object]:
    return event({"msgtype": "m.text", "body": body, **more})


KEYS = st.sampled_from(
    (
        *("msgtype", "body", "m.relates_to", "rel_type", "event_id", "key", "m.new_content", "url", "file"),
        *("iv", "hashes", "sha256", "k", "m.mentions", "user_ids", "m.in_reply_to", "is_falling_back"),
        *("filename", "geo_uri", "redacts", "membership", "displayname", "session_id"),
    )
)
WORDS = st.sampled_from(
    [
        "m.text",
        "m.image",
        "m.file",
        "m.emote",
        "m.location",
        "m.thread",
        "m.replace",
        "m.annotation",
        "mxc://a/b",
        "$1",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=6)
)
KINDS = st.sampled_from(
    ["m.room.message", "m.sticker", "m.reaction", "m.room.redaction", "m.room.encrypted", "m.room.member"]
)


@given(
    st.fixed_dictionaries(
        {
            "event_id": JSON | st.just("$1"),
            "sender": JSON | st.just(ANN),
            "type": KINDS | JSON,
            "content": JSON,
        },
        optional={"state_key": JSON, "unsigned": JSON, "redacts": JSON},
    )
    | JSON
)
def test_nothing_makes_it_fail(source: Any) -> None:
    seen = read(source)
    if isinstance(seen, Message):
        mentioned(seen, ME, ("bot",))
    since_invited([seen] if seen else [], ME)


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (said("hello"), Message("$1", ANN, "hello")),
        (said("  two\n\tlines "), Message("$1", ANN, "  two\n\tlines ")),
        (event({"msgtype": "m.emote", "body": "waves"}), Message("$1", ANN, "* waves")),
        (event({"msgtype": "m.notice", "body": "of a program"}), None),
        (event({"msgtype": "m.key.verification.request", "body": "?"}), None),
        (event({}), None),
        (
            said("in a thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": "$0"}}),
            Message("$1", ANN, "in a thread", thread="$0"),
        ),
        (
            said(
                "late",
                **{
                    "m.relates_to": {
                        "rel_type": "m.thread",
                        "event_id": "$0",
                        "is_falling_back": True,
                        "m.in_reply_to": {"event_id": "$9"},
                    }
                },
            ),
            Message("$1", ANN, "late", thread="$0"),
        ),
        (
            said(
                "> <@bot:example.org> why?\n> really\n\nbecause",
                **{"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}},
            ),
            Message("$1", ANN, "because", reply_to="$0"),
        ),
        (said("> <b> quoted by hand\n\nso"), Message("$1", ANN, "> <b> quoted by hand\n\nso")),
        (
            said(
                "* new",
                **{
                    "m.new_content": {"msgtype": "m.text", "body": "new"},
                    "m.relates_to": {"rel_type": "m.replace", "event_id": "$0"},
                },
            ),
            Message("$1", ANN, "new", edited="$0"),
        ),
        (
            event({"msgtype": "m.image", "body": "cat.png", "url": "mxc://a/b"}),
            Message("$1", ANN, "", (RemoteFile("mxc://a/b", "cat.png", "image"),)),
        ),
        (
            event({"msgtype": "m.image", "body": "look", "filename": "cat.png", "url": "mxc://a/b"}),
            Message("$1", ANN, "look", (RemoteFile("mxc://a/b", "cat.png", "image"),)),
        ),
        (
            event(
                {
                    "msgtype": "m.file",
                    "body": "a",
                    "file": {"url": "mxc://a/b", "key": {"k": "K"}, "iv": "I", "hashes": {"sha256": "S"}},
                }
            ),
            Message("$1", ANN, "", (RemoteFile("mxc://a/b", "a", "file", FileKey("K", "I", "S")),)),
        ),
        (event({"msgtype": "m.file", "body": "a", "url": "http://10.0.0.1/"}), Message("$1", ANN, "a")),
        (
            event(
                {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$0", "key": "👍"}}, "m.reaction"
            ),
            Reaction("$1", ANN, "$0", "👍"),
        ),
        (event({}, "m.room.redaction", redacts="$0"), Redaction("$1", ANN, "$0")),
        (event({"redacts": "$0"}, "m.room.redaction"), Redaction("$1", ANN, "$0")),
        (event({"session_id": "s"}, "m.room.encrypted"), Encrypted("$1", ANN, "s")),
    ],
)
def test_it_reads_what_clients_write(source: object, seen: object) -> None:
    assert read(source) == seen


@pytest.mark.parametrize(
    ("source", "is_mention"),
    [
        (said("hello"), False),
        (said("bot: hello"), True),
        (said("BOT, hello"), True),
        (said("a robot"), False),
        (said("hello @bot:example.org"), True),
        (said("bot: hello", **{"m.mentions": {}}), False),
        (said("hello", **{"m.mentions": {"user_ids": [ME]}}), True),
        (said("bot", **{"m.mentions": {"user_ids": "@bot:example.org"}}), False),
    ],
)
def test_it_knows_mentions(source: object, is_mention: bool) -> None:  # noqa: FBT001 -- a table
    seen = read(source)
    assert isinstance(seen, Message)
    assert mentioned(seen, ME, ("bot",)) == is_mention


def _member(event_id: str, user: str, membership: str, before: str = "leave") -> Membership:
    return Membership(event_id, ANN, user, membership, before, user)


def test_of_a_room_that_was_joined_only_what_followed_the_invitation_is_new() -> None:
    old, invited, fresh, joined, last = (
        Message("$1", ANN, "before"),
        _member("$2", ME, "invite"),
        Message("$3", ANN, "hello"),
        _member("$4", ME, "join", "invite"),
        Message("$5", ANN, "there?"),
    )
    assert since_invited([old, invited, fresh, joined, last], ME) == [invited, fresh, joined, last]
    assert since_invited([old, joined, last], ME) == [joined, last]
    assert since_invited([old, fresh, last], ME) == [old, fresh, last]
    assert since_invited([old, _member("$9", ME, "join", "join"), last], ME)[0] == old
