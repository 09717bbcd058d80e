"""Long texts are split where a person would split them, and nothing of them is lost."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.channels.rendering import pieces, plain_pieces, utf16_units
from nanoclaw.channels.rendering.cuts import Length

BITS = (
    "# A heading\n",
    "A paragraph of words. Another sentence!\n",
    "\n",
    "```py\n",
    "```\n",
    "~~~\n",
    "def f():\n    return 1\n",
    "- item\n",
    "  - nested\n",
    "1. one\n",
    "> quoted words\n",
    "> ```\n",
    "    code\n",
    "`a b c` [x y](http://a.b) **c d**\n",
    "- ```js\n",
    "  ```\n",
    "<div>\n",
    "[a]: http://b\n",
    "***\n",
    "===\n",
    ">>>\n",
    "\t- x\n",
    "\r\n",
    "\0",
    "\N{GRINNING FACE}e\u0301\n",
    "\ud800",
)
TABLE = "|a|b|\n|-|-|\n|x|y|\n"
MARKDOWN = st.lists(st.sampled_from([*BITS, TABLE, "x" * 50]) | st.text(max_size=10), max_size=50).map(
    "".join
)
CODE = "```py\n" + "\n".join(f"line_{n} = {n}" for n in range(12)) + "\n```"


def characters(text: str) -> list[str]:
    """Return what must not be lost: all but white space, and the marks of quotes between their paragraphs."""
    return [one for one in text if not one.isspace() and one != ">"]


@settings(max_examples=300, deadline=None)
@given(MARKDOWN, st.integers(4, 120), st.sampled_from([len, utf16_units]))
def test_every_piece_fits_and_nothing_is_lost(text: str, longest: int, length: Length) -> None:
    found = pieces(text, longest, length)
    assert all(length(piece) <= longest and piece.strip() for piece in found)
    shown = iter("".join(found))
    assert all(one in shown for one in characters(text))


@settings(max_examples=100, deadline=None)
@given(MARKDOWN, st.integers(4, 120), st.sampled_from([len, utf16_units]))
def test_plain_texts_gain_nothing_either(text: str, longest: int, length: Length) -> None:
    found = plain_pieces(text, longest, length)
    assert all(length(piece) <= longest for piece in found)
    assert [c for c in "".join(found) if not c.isspace()] == [c for c in text if not c.isspace()]


def test_a_short_text_is_one_piece_as_it_is() -> None:
    assert pieces("\n# Hi\n\n    code\n", 2000) == ["# Hi\n\n    code"]
    assert pieces(" \n\n", 10) == []


def test_it_is_split_between_paragraphs() -> None:
    assert pieces("one two three\n\nfour five\n\nsix", 24) == ["one two three\n\nfour five", "six"]


def test_code_that_fits_stays_whole() -> None:
    assert pieces(f"Look at this:\n\n{CODE}\n\nGood?", len(CODE) + 5) == ["Look at this:", CODE, "Good?"]


def test_longer_code_is_opened_again_with_its_language() -> None:
    found = pieces(CODE, 100)
    assert len(found) > 1
    assert all(piece.startswith("```py\n") and piece.endswith("\n```") for piece in found)
    assert "\n".join(piece[6:-4] for piece in found) == CODE[6:-4]


def test_code_in_a_quote_stays_in_it() -> None:
    quoted = "\n".join(f"> {line}" for line in CODE.splitlines())
    assert all(line.startswith("> ") for piece in pieces(quoted, 100) for line in piece.splitlines())


def test_a_table_repeats_its_head() -> None:
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n} |" for n in range(20))
    assert all(piece.startswith("| a | b |\n|---|---|\n| ") for piece in pieces(table, 100))


def test_a_list_is_split_between_its_items() -> None:
    found = pieces("- one\n  more of one\n- two\n  more of two", 24)
    assert found == ["- one\n  more of one", "- two\n  more of two"]


def test_what_is_nested_does_not_become_code() -> None:
    found = pieces("- one\n    - " + "two " * 5 + "\n    - " + "three " * 5, 40)
    assert not any(piece.startswith("    ") for piece in found)


def test_a_long_paragraph_is_split_between_sentences_then_words() -> None:
    assert pieces("One two. Three four. Five", 21) == ["One two. Three four.", "Five"]
    assert pieces("one two three four", 10) == ["one two", "three four"]


def test_links_and_code_in_a_line_stay_whole() -> None:
    found = pieces("some words before [a long link](http://example.org/a) after", 36)
    assert "[a long link](http://example.org/a)" in found[1]


def test_a_heading_stays_with_what_follows() -> None:
    assert pieces("words words\n\n# Title\n\nbody body", 22) == ["words words", "# Title\n\nbody body"]


def test_no_character_is_torn_apart() -> None:
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    assert pieces(family * 3, 7) == [family] * 3


@pytest.mark.parametrize(
    "bit",
    ["- a\n", "> b\n", "[", "[](", "`", "**", "```\nx\n```\n", "<!--\n", "- ", "a\n\n", "|a|\n|-|\n|b|\n"],
)
def test_the_time_grows_with_the_length_only(bit: str) -> None:
    text = bit * (40_000 // len(bit))
    pieces(text[:4_000], 2_000)
    began = time.process_time()
    pieces(text, 2_000, utf16_units)
    assert time.process_time() - began < 3.0  # about 0.3 s; a quadratic one takes minutes
