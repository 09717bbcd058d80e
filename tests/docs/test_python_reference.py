"""docs/python-reference.md matches the docstrings, and leaves nothing of the values unexplained."""

import re

import nanoclaw
import nanoclaw.testing
import nanoclaw.testing.conformance
from tests.docs.python_reference import PAGE, PARTS, page

TEXT = PAGE.read_text("utf-8")
EXPLAINED_ELSEWHERE = {
    "Config": "docs/configuration.md",
    "ConfigError": "docs/how-to/embed-in-a-trio-program.md",
    "configured_channels": "it is for `nanoclaw run`",
}


def test_the_page_matches_the_docstrings() -> None:
    assert page() == TEXT, "run `make docs`"


def test_every_public_name_is_on_the_page() -> None:
    shown = {name for part in PARTS for names in part.names.values() for name in names}
    assert {*nanoclaw.__all__} - shown - EXPLAINED_ELSEWHERE.keys() == set()
    suites = {name for name in nanoclaw.testing.conformance.__all__ if not name.endswith("_checks")}
    assert suites - shown == set()
    for name in ("Attachment", "Option", "ReplyTo", "Entry"):
        assert f"\n### {name}\n" in TEXT


def test_every_field_is_explained() -> None:
    assert re.findall(r"^\| `.*\|  \|$", TEXT, re.MULTILINE) == []
