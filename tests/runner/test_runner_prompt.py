"""Messages as a model reads them. The golden texts are in docs/prompts.md."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.prompt import attachments, render_follow_ups, render_turn
from agent_runner.prompt.markup import plain, share
from agent_runner.providers.http import NoHttp
from agent_runner.records import Address, Destination, Inbound, Sent, Turn
from nanoclaw.testing.conformance.contexts import MemoryState, session_context
from tests.runner.world import EPOCH

HOME = Address("tg", "chat-1")
KINDS = ("chat", "chat-sdk", "task", "webhook", "system", "new-kind")
ELEMENTS = {
    *("context", "messages", "message", "quote", "attachment", "task", "script_output", "webhook", "answer"),
    *(
        "result",
        "outcome",
        "delivery",
        "agent_message",
        "disk",
        "continuation",
        "deleted",
        "reaction",
        "event",
        "interrupted",
        "sent",
        "request",
    ),
}


def inbound(seq: int, kind: str = "chat", address: Address | None = HOME, **content: object) -> Inbound:
    return Inbound(f"in-{seq}", seq, kind, address, content, 0, EPOCH)


def turn_of(*messages: Inbound, **more: object) -> Turn:
    return Turn("turn-1", messages, home=HOME, **more)  # type: ignore[arg-type]  # of the test


def parsed(text: str) -> ET.Element:
    return ET.fromstring(f"<root>{text}</root>")  # noqa: S314 -- it is our own text that is tested


def only(turn: Turn) -> ET.Element:
    """Return the element of the only message."""
    [element] = parsed(render_turn(turn))[0]
    return element


# -- nothing can close our tags ------------------------------------------------------

TEXTS = st.one_of(
    st.text(alphabet=st.characters(), max_size=50),
    st.sampled_from(
        ["</message>", "<system>", "]]>", "<!--", "&lt;", "&#0;", '"', "'", "\0", "\ud800", "\u202e"]
    ),
)
JSON = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KNOWN_KEYS = (
    *("text", "sender", "senderId", "attachments", "replyTo", "author", "prompt", "scriptOutput", "source"),
    *("editOf", "emoji", "messageId", "userId"),
    *(
        "payload",
        "action",
        "result",
        "reason",
        "selectedOption",
        "selectedOptions",
        "freeText",
        "withdrawn",
        "expired",
        "operation",
        "files",
        "id",
    ),
)
CONTENTS = st.dictionaries(st.sampled_from(KNOWN_KEYS) | TEXTS, JSON, max_size=6).flatmap(
    lambda content: st.sampled_from(
        [
            "question_response",
            "delivery",
            "agent_message",
            "disk",
            "continuation",
            "deleted",
            "reaction",
            "card",
            "ask_question",
            None,
        ]
    ).map(lambda type_: content if type_ is None else {**content, "type": type_})
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), CONTENTS), min_size=1, max_size=4), CONTENTS, TEXTS)
def test_no_content_changes_the_structure_of_a_prompt(
    rows: list[tuple[str, dict[str, object]]], sent: Mapping[str, object], name: str
) -> None:
    messages = [
        Inbound(f"in-{seq}", seq, kind, Address("tg", name or "x"), content, 0, EPOCH)
        for seq, (kind, content) in enumerate(rows)
    ]
    turn = Turn(
        *("turn-1", tuple(messages), tuple(messages)),
        already_sent=(Sent(3, "chat", HOME, sent), Sent(5, "system", None, sent)),
        context_omitted=1,
        destinations=(Destination(name, name, Address("tg", name or "x")),),
        home=HOME,
    )
    root = parsed(render_turn(turn))
    assert [part.tag for part in root] == ["context", "messages", "interrupted"]
    assert [len(part) for part in root] == [len(rows), len(rows), 2]
    assert {element.tag for part in root for element in part.iter()} <= ELEMENTS
    assert [each.get("id") for each in root[1]] == [str(seq) for seq in range(len(rows))]


@given(TEXTS, TEXTS, TEXTS)
def test_a_text_is_read_as_it_was_written(text: str, sender: str, quoted: str) -> None:
    element = only(turn_of(inbound(2, text=text, sender=sender, replyTo={"sender": "Bob", "text": quoted})))
    assert (element[0].text or "") == plain(quoted)
    assert (element[0].tail or "").removeprefix("\n") == plain(text)
    assert element.get("sender", "") == " ".join(plain(sender).split())[:200]


def test_what_hides_text_from_people_is_shown_as_a_replacement() -> None:
    hidden = "".join(chr(0xE0000 + ord(each)) for each in "obey")
    text = only(turn_of(inbound(2, text=f"hi{hidden}\u202eabc\x1b[0m\x00 👩\u200d👧 \u200fאב"))).text
    assert text == "hi\ufffd\ufffd\ufffd\ufffd\ufffdabc\ufffd[0m\ufffd 👩\u200d👧 \u200fאב"


# -- bounds ------------------------------------------------------------------------------


def test_a_huge_message_is_cut_in_the_middle_with_a_note() -> None:
    text = only(turn_of(inbound(2, text="a" * 500_000 + "b" * 500_000))).text or ""
    assert len(text) < 50_100
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert "[… 950,000 characters left out …]" in text


def test_many_long_messages_share_the_room() -> None:
    rendered = render_turn(
        turn_of(*(inbound(2 * n, text="<" * 10_000) for n in range(1, 201)), inbound(500, text="short"))
    )
    texts = ["".join(element.itertext()) for element in parsed(rendered)[0]]
    assert sum(map(len, texts)) < 220_000
    assert texts[-1] == "short"


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(100, 10_000))
def test_the_room_is_shared_so_that_short_texts_stay_whole(sizes: list[int], most: int) -> None:
    longest = share(sizes, most, 500)
    assert sum(min(size, longest) for size in sizes) <= max(most, 0)
    assert longest == 500 or sum(min(size, longest + 1) for size in sizes) > most


def test_more_than_twenty_attachments_are_counted() -> None:
    listed = [{"type": "file", "name": f"{n}.txt"} for n in range(25)]
    element = only(turn_of(inbound(2, text="x", attachments=listed)))
    assert len(element) == 20
    assert "(5 more attachments are left out)" in "".join(element.itertext())


# -- who, where, when ----------------------------------------------------------------------


def test_times_are_those_of_the_users_zone() -> None:
    turn = turn_of(inbound(2, text="x"), timezone="Asia/Tokyo")
    assert only(turn).get("time") == "Sat 2025-03-01 21:00"
    late = evolve(
        inbound(2, text="x"), timestamp=EPOCH.replace(year=9999, month=12, day=31) + timedelta(hours=11)
    )
    assert only(turn_of(late, timezone="Asia/Tokyo")).get("time") == "Fri 9999-12-31 23:00"


def test_an_admin_is_marked_by_the_id_and_not_by_the_name() -> None:
    turn = turn_of(inbound(2, sender="Ann", senderId="tg:1"), inbound(4, sender="tg:1", senderId="tg:2"))
    first, second = parsed(render_turn(evolve(turn, admin_user_ids=("tg:1",))))[0]
    assert (first.get("role"), second.get("role")) == ("admin", None)


def test_an_agent_is_no_admin_whatever_id_it_has() -> None:
    message = inbound(2, address=Address("agent", "ag-2"), sender="Cook", senderId="tg:1")
    assert only(turn_of(message, admin_user_ids=("tg:1",))).get("role") == "agent"


def test_a_message_from_elsewhere_names_its_chat_as_a_destination_does() -> None:
    family = Destination("family", "Family", Address("tg", "chat-9"))
    rows = [
        inbound(2, text="here"),
        inbound(4, address=Address("tg", "chat-9", "t")),
        inbound(6, address=Address("x", "y")),
    ]
    found = parsed(render_turn(turn_of(*rows, destinations=(family,))))[0]
    assert [each.get("chat") for each in found] == [None, "family", "x y"]


def test_another_thread_of_the_same_chat_is_named() -> None:
    turn = turn_of(inbound(2), inbound(4, address=Address("tg", "chat-1", "t7")))
    assert [each.get("thread") for each in parsed(render_turn(turn))[0]] == [None, "t7"]


def test_a_reply_to_a_message_of_the_turn_has_its_number() -> None:
    turn = turn_of(inbound(2, id="p2", text="when?"), inbound(4, replyTo={"id": "p2", "text": "when?"}))
    assert parsed(render_turn(turn))[0][1][0].get("id") == "2"


def test_a_reply_to_an_edited_message_has_the_number_of_the_message() -> None:
    turn = turn_of(
        inbound(2, id="p2", text="wen?"),
        inbound(4, id="p2", text="when?", editOf=2),
        inbound(6, replyTo={"id": "p2", "text": "when?"}),
    )
    assert parsed(render_turn(turn))[0][2][0].get("id") == "2"


@pytest.mark.parametrize(("given", "shown"), [(2, "2"), (None, "unknown"), ("x", "unknown")])
def test_an_edit_names_the_message_that_it_changes(given: object, shown: str) -> None:
    edit = only(turn_of(inbound(4, id="p2", text="when?", editOf=given)))
    assert (edit.tag, edit.text, edit.get("edit_of")) == ("message", "when?", shown)


def test_a_message_that_is_no_edit_names_none() -> None:
    assert only(turn_of(inbound(4, id="p2", text="when?"))).get("edit_of") is None


def test_reactions_and_deletions_name_their_message() -> None:
    rows = [
        inbound(4, "system", type="reaction", emoji="<3", sender="Ann", senderId="tg:1", messageId=3),
        inbound(6, "system", type="deleted", messageId=2),
    ]
    reaction, deleted = parsed(render_turn(turn_of(*rows)))[0]
    assert (reaction.tag, reaction.text, reaction.get("message"), reaction.get("sender")) == (
        *("reaction", "<3", "3", "Ann"),
    )
    assert (deleted.tag, deleted.get("message"), deleted.get("user")) == ("deleted", "2", None)


def test_follow_ups_are_context_or_messages() -> None:
    rows = [inbound(4, text="now"), evolve(inbound(6, text="by the way"), trigger=False)]
    root = parsed(render_follow_ups(turn_of(inbound(2)), rows))
    assert [(part.tag, part[0].text) for part in root] == [("context", "by the way"), ("messages", "now")]


# -- attachments ---------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"


def found_types(folder: Path, files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return name and type of each file of a message."""
    with session_context(MemoryState(), NoHttp(), {}) as context:
        (folder / "inbox" / "in-2").mkdir(parents=True)
        for name, data in files.items():
            (folder / "inbox" / "in-2" / name).write_bytes(data)
        listed = [{"name": name, "localPath": f"in/inbox/in-2/{name}"} for name in files]
        found = attachments(evolve(context, inbound=folder), inbound(2, attachments=listed))
        return [(each.name, each.media_type) for each in found]


def test_the_type_of_a_file_is_that_of_its_first_bytes(tmp_path: Path) -> None:
    files = {
        "a.txt": PNG,
        "b.png": b"hello",
        "c.pdf": b"\x00\x01",
        "d.csv": b"1,2",
        "e": b"%PDF-1.7",
        "f.mp3": b"ID3",
    }
    assert [type_ for _, type_ in found_types(tmp_path, files)] == [
        "image/png",
        "text/plain",
        "application/octet-stream",
        "text/csv",
        "application/pdf",
        "audio/mpeg",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "in/inbox/../../secret",
        "/etc/passwd",
        "in/inbox/in-2",
        "in/inbox/in-2/gone",
        "in/inbox/in-2/link",
        7,
        None,
    ],
)
def test_only_regular_files_of_the_inbox_are_attachments(tmp_path: Path, path: object) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "inbox" / "in-2").mkdir(parents=True)
    (tmp_path / "inbox" / "in-2" / "link").symlink_to(tmp_path / "secret")
    with session_context(MemoryState(), NoHttp(), {}) as context:
        message = inbound(2, attachments=[{"name": "x", "localPath": path}, "odd", None])
        assert attachments(evolve(context, inbound=tmp_path), message) == ()


@given(JSON)
def test_no_list_of_attachments_fails(listed: object) -> None:
    with session_context(MemoryState(), NoHttp(), {}) as context:
        assert attachments(context, inbound(2, attachments=listed)) == ()
    json.dumps(render_turn(turn_of(inbound(2, attachments=listed))))
