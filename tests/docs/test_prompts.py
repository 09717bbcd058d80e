"""The texts of docs/prompts.md are those that a model reads."""

from tests.docs.prompts import PAGE, up_to_date


def test_the_examples_of_the_page_are_what_a_model_reads() -> None:
    assert up_to_date(PAGE.read_text("utf-8")) == PAGE.read_text("utf-8"), "run `make docs`"
