"""Networks without tables and images show their contents in another form."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.channels.rendering import images_as_links, tables_as_code

TABLE = "| city | **rain** |\n|:---|---:|\n| Bonn | `5` mm |\n| 東京 | |"
SHOWN = "```\ncity  rain\n──────────\nBonn  5 mm\n東京\n```"
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


def test_a_table_becomes_aligned_code() -> None:
    assert tables_as_code(f"before\n\n{TABLE}\n\nafter") == f"before\n\n{SHOWN}\n\nafter"


def test_a_table_in_a_quote_stays_in_it() -> None:
    quoted = "\n".join(f"> {line}" for line in TABLE.splitlines())
    assert tables_as_code(quoted) == "\n".join(f"> {line}" for line in SHOWN.splitlines())


def test_a_wide_table_becomes_a_list() -> None:
    text = "|a|b|\n|-|-|\n|x|" + "words " * 20 + "|\n|z||"
    assert tables_as_code(text) == f"- **a:** x\n  **b:** {'words ' * 20}".rstrip() + "\n- **a:** z"


def test_code_that_looks_like_a_table_is_unchanged() -> None:
    text = f"```\n{TABLE}\n```\n\na | b"
    assert tables_as_code(text) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=2, max_size=6), st.integers(0, 80))
def test_no_cell_is_lost(rows: list[list[str]], widest: int) -> None:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    shown = tables_as_code("\n".join([head, "|-|-|", *body]), widest)
    assert all(cell in shown for row in rows for cell in row)


def test_an_image_becomes_a_link() -> None:
    text = "See ![a cat](https://a.b/c.png) and ![](d.png), not `![x](y)`\n\n    ![code](z)"
    assert images_as_links(text) == (
        "See [a cat](https://a.b/c.png) and [image](d.png), not `![x](y)`\n\n    ![code](z)"
    )


@settings(max_examples=100, deadline=None)
@given(st.text("![]()`|-: \n>ab", max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    images_as_links(tables_as_code(text))
