"""docs/cli.md matches the help of the commands."""

from nanoclaw.operations import Catalogue
from tests.docs.cli import OWN, PAGE, page


def test_the_page_matches_the_commands() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make docs`"


def test_every_operation_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    assert [each.words for each in OWN.operations.values() if f"#### {each.words}\n" not in text] == []
    assert len(Catalogue.installed().operations) > 50
