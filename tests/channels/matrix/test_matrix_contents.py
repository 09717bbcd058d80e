"""What is sent: Matrix's HTML, mentions, relations and sizes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.channels.matrix import contents
from nanoclaw.channels.matrix.contents import edit, placed, texts
from nanoclaw.channels.matrix.dialect import Html, html_of
from nanoclaw.channels.matrix.server import ServerFailed, refusal
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected

EVENT = 65_536
SEALED = 4 / 3
ENVELOPE = 2_000


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**rain** and `wind_1`", "<p><strong>rain</strong> and <code>wind_1</code></p>"),
        ("~~no~~", "<p><s>no</s></p>"),
        ("<b>5 > 3</b>", "<p>&lt;b&gt;5 &gt; 3&lt;/b&gt;</p>"),
        ('![a "cat"](http://x/y?a&b)', '<p><a href="http://x/y?a&amp;b">a &quot;cat&quot;</a></p>'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
    ],
)
def test_markdown_becomes_html_of_matrix(markdown: str, html: str) -> None:
    assert html_of(markdown).html == html


def test_tables_stay_tables() -> None:
    assert "<table>" in html_of("| a | b |\n|---|---|\n| 1 | 2 |").html


def test_a_plain_paragraph_needs_no_html() -> None:
    [content] = texts("just words", markdown=True)
    assert content == {"msgtype": "m.text", "body": "just words", "m.mentions": {}}


def test_only_users_of_the_room_are_notified() -> None:
    [content] = texts(
        "ask @ann:example.org or @ben:example.org.", markdown=True, members=["@ann:example.org"]
    )
    assert content["m.mentions"] == {"user_ids": ["@ann:example.org"]}


@settings(max_examples=20, deadline=None)
@given(st.text(alphabet='ab \n*`#<&"\\|_[]()~é😀\x01', max_size=300), st.integers(1, 150), st.booleans())
def test_every_piece_fits_into_an_encrypted_edit(part: str, times: int, markdown: bool) -> None:  # noqa: FBT001 -- drawn
    for content in texts(part * times, markdown=markdown):
        whole = edit(placed(content, "$" + "t" * 250, None), "$" + "e" * 250)
        assert len(json.dumps(whole, ensure_ascii=False).encode()) * SEALED + ENVELOPE < EVENT


def test_nothing_but_blanks_is_lost_between_pieces() -> None:
    text = "\n\n".join(f"paragraph {n} " + "words " * 50 for n in range(400))
    contents = texts(text, markdown=True)
    assert len(contents) > 1
    assert "".join("".join(each["body"] for each in contents).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("answer", "status", "kind", "condition"),
    [
        ({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, 429, ChannelUnavailable, "rate limited"),
        ({}, 429, ChannelUnavailable, "rate limited"),
        ({"errcode": "M_UNKNOWN_TOKEN"}, 401, ChannelUnavailable, "unauthorized"),
        ({"errcode": "M_FORBIDDEN", "error": "no"}, 403, DeliveryRejected, None),
        ({"errcode": "M_TOO_LARGE"}, 413, DeliveryRejected, None),
        ({"errcode": "M_UNKNOWN"}, 500, ServerFailed, None),
        ({"errcode": 5, "error": ["x"], "retry_after_ms": "soon"}, 502, ServerFailed, None),
    ],
)
def test_refusals_have_their_reason(
    answer: dict[str, object], status: int, kind: type[Exception], condition: str | None
) -> None:
    error = refusal(answer, status)
    assert type(error) is kind
    assert getattr(error, "condition", None) == condition


def test_a_server_says_how_long_to_wait() -> None:
    error = refusal({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, 429)
    assert isinstance(error, ChannelUnavailable)
    assert error.retry_after == 1.5


@pytest.mark.parametrize("text", ["a\n" * 10_000, "- a\n" * 5_000, "[" * 20_000])
def test_a_long_text_is_rendered_a_few_times_only(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    rendered = list[int]()

    def counted(part: str) -> Html:
        rendered.append(len(part))
        return html_of(part)

    monkeypatch.setattr(contents, "html_of", counted)
    found = contents.texts(text, markdown=True)
    assert max(len(json.dumps(each, ensure_ascii=False)) for each in found) <= contents.MOST_BYTES
    assert sum(rendered) <= 6 * len(text)
