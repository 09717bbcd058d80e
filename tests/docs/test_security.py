"""The page about security names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_named_test_exists(file: str, test: str) -> None:
    source = (ROOT / file).read_text("utf-8")
    assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE)


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 30
