"""How a draft is drawn: wrapped as a terminal wraps, and only its last lines."""

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import to_plain_text

from nanoclaw.channels.terminal.drafting import OTHER_LINES, Draft


def drawn(text: str, *, rows: int = 24, columns: int = 10) -> list[str]:
    return to_plain_text(Draft(text).drawn("Al", Size(rows, columns))).split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one", ["Al  one"]),
        ("123456", ["Al  123456"]),
        ("1234567", ["Al  123456", "7"]),
        ("one\n\ntwo\n", ["Al  one", "", "two", ""]),
        ("漢字漢字", ["Al  漢字漢", "字"]),
        ("12345漢", ["Al  12345", "漢"]),
        ("e\u0301" * 7, ["Al  " + "e\u0301" * 6, "e\u0301"]),
        ("a\tb\n\tc", ["Al  a   b", "        c"]),
        ("\x1b[2J\x07\r", ["Al  �[2J��"]),
    ],
)
def test_lines_are_wrapped_by_their_width(text: str, lines: list[str]) -> None:
    assert drawn(text) == lines


@pytest.mark.parametrize("rows", [1, OTHER_LINES, OTHER_LINES + 1, OTHER_LINES + 3, 24])
def test_the_last_lines_that_fit_are_drawn_and_at_least_one(rows: int) -> None:
    lines = [f"{n}" for n in range(100)]
    assert drawn("\n".join(lines), rows=rows) == lines[-max(rows - OTHER_LINES, 1) :]


@pytest.mark.parametrize("columns", [0, 1, 2, 3])
def test_any_width_draws_something(columns: int) -> None:
    assert drawn("漢one", columns=columns)


def test_the_wrapped_lines_follow_a_change_of_the_window() -> None:
    draft = Draft("one two")
    assert to_plain_text(draft.drawn("Al", Size(24, 20))) == "Al  one two\n"
    assert to_plain_text(draft.drawn("Al", Size(24, 7))) == "Al  one\n two\n"
