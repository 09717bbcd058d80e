"""The final answer of a model, taken apart."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.prompt import read_output, visible_draft
from agent_runner.prompt.output import LONGEST_REPLY
from agent_runner.records import Address, Destination, Turn

TURN = Turn(
    "turn-1",
    (),
    destinations=tuple(Destination(name, name, Address("tg", name)) for name in ("family", "work")),
)


def parts(text: str) -> dict[str | None, str]:
    """Return the text for each destination. The conversation is None."""
    return {reply.to: reply.text for reply in read_output(text, TURN).replies}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" \n", {}),
        ("hello", {None: "hello"}),
        ("1 < 2 > 0 & <b>bold</b>", {None: "1 < 2 > 0 & <b>bold</b>"}),
        ("<internal>think</internal>", {}),
        ("<internal>think", {}),
        ("a<internal>x</internal>b", {None: "ab"}),
        ("a <internal>x</internal> b", {None: "a b"}),
        ("a\n<internal>x</internal>\nb", {None: "a\n\nb"}),
        ("<INTERNAL why='x'>x</Internal >hi", {None: "hi"}),
        ("<internal/>hi", {None: "hi"}),
        ("<internal>a<internal>b</internal>c</internal>d", {None: "d"}),
        ("<internal>I use <internal> here</internal>hi", {None: "hi"}),
        ("hi</internal>", {None: "hi</internal>"}),
        ('<message to="family">hi</message>', {"family": "hi"}),
        ("<message to='family'>hi</message> you", {None: "you", "family": "hi"}),
        ("<message to=family>hi</message>", {"family": "hi"}),
        ('<Message TO = "Family" >hi</MESSAGE>', {"family": "hi"}),
        ('<message to="family">hi', {"family": "hi"}),
        ('<message to="family">a<message to="work">b</message>c', {None: "c", "family": "a", "work": "b"}),
        ('<message to="family">a</message><message to="family">b</message>', {"family": "a\n\nb"}),
        ('<message to="family">a<internal>x</internal></message>', {"family": "a"}),
        ('<message to="family"> </message>', {}),
        ("<message>hi</message>", {None: "<message>hi</message>"}),
        ('<message to="">hi</message>', {None: '<message to="">hi</message>'}),
        ('<message to="family" x="1">hi', {None: '<message to="family" x="1">hi'}),
        ("<messages>", {None: "<messages>"}),
        ("write `<internal>` so", {None: "write `<internal>` so"}),
        ("``a ` <internal>`` b", {None: "``a ` <internal>`` b"}),
        ("it`s <internal>x</internal>", {None: "it`s"}),
        ("```xml\n<internal>x</internal>\n```", {None: "```xml\n<internal>x</internal>\n```"}),
        ("~~~~\n```\n<message to='work'>\n~~~~\nx", {None: "~~~~\n```\n<message to='work'>\n~~~~\nx"}),
        ("```\n<internal>x</internal> never closed", {None: "```\n\nnever closed"}),
        ("<internal>`</internal>a `b`", {None: "a `b`"}),
    ],
)
def test_an_answer_has_parts(text: str, expected: dict[str | None, str]) -> None:
    assert parts(text) == expected


def test_texts_to_unknown_names_go_nowhere_and_are_named() -> None:
    output = read_output("<message to='mum'>secret</message><message to='dad'></message>hi", TURN)
    assert [reply.text for reply in output.replies] == ["hi"]
    assert output.unknown == ("mum",)


def test_a_long_answer_is_cut_with_a_note() -> None:
    [reply] = read_output("x" * 5_000_000, TURN).replies
    assert reply.text[LONGEST_REPLY:] == "\n\n[The answer was cut here: it has 5,000,000 characters.]"


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("<internal>", "</internal>", "<internal/>", '<message to="family">', "<message to='work'>"),
            *("<message to=mum>", "</message>", "<message", "<", ">", "`", "``", "```\n", "\n```\n", "~~~\n"),
            *("\n", " ", "word", "\0", "\ud800", "<internal", "<message to=", '"'),
        ]
    )
    | st.text(max_size=3)
).map("".join)


@given(FRAGMENTS)
def test_no_answer_fails_or_is_made_up(text: str) -> None:
    output = read_output(text, TURN)
    pieces = "".join(reply.text for reply in output.replies).split()
    assert all(piece in text for piece in pieces if "<" not in piece and len(piece) == 1)
    assert len({reply.to for reply in output.replies}) == len(output.replies)
    visible_draft(text)


@given(
    st.lists(st.sampled_from(["a", "b ", "c\n"]) | st.text("xyz", max_size=5)), st.text("SECRT", min_size=1)
)
def test_what_is_internal_is_shown_in_no_draft(words: list[str], secret: str) -> None:
    text = "".join(words) + f"<internal>{secret}</internal>" + "".join(words) + f"<message to='work'>{secret}"
    for end in range(len(text) + 1):
        assert not set("SECRT<>") & set(visible_draft(text[:end]))


@pytest.mark.parametrize(
    "tail", ["<", "</", "<i", "<internal", "<internal ", "<MESS", '<message to="fam', "</message"]
)
def test_a_draft_shows_no_half_tag(tail: str) -> None:
    assert visible_draft(f"hello {tail}") == "hello"


@pytest.mark.parametrize("text", ["1 < 2", "a <b", "<br", "x <3", "`a` and *b*", "<messages", "a > b"])
def test_a_draft_shows_what_is_no_tag(text: str) -> None:
    assert visible_draft(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        *("<internal>", "</internal><internal>", "<message to=family>x", "<message ", "<", "`a``", "```x\n"),
        *("~~~a\n```b\n", "<internal></message></message>", "```x\n~~~\n", "<internal", "`<internal>"),
    ],
)
def test_a_huge_answer_of_anything_is_read_in_linear_time(piece: str) -> None:
    def duration(length: int) -> float:
        text = piece * (length // len(piece))
        begin = time.perf_counter()
        read_output(text, TURN)
        return time.perf_counter() - begin

    assert duration(1_000_000) < 100 * duration(50_000) + 1
