"""The page about permissions: every line names a test that exists."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^\|(?P<who>.+)\|(?P<what>.+)\|(?P<test>[^|]+)\|$")
TEST = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)


def _lines() -> list[tuple[str, str]]:
    """Return the second and the last column of each line of the tables."""
    text = (ROOT / "docs/permissions.md").read_text("utf-8")
    found = [match for line in text.splitlines() if (match := LINE.match(line))]
    heads = {"shown by", "---"}
    return [(one["who"].strip(), one["test"].strip()) for one in found if one["test"].strip() not in heads]


@cache
def _tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(name for file in files for name in TEST.findall(file.read_text("utf-8")))


def test_the_page_has_tables() -> None:
    assert len(_lines()) > 40


@pytest.mark.parametrize(("who", "test"), _lines())
def test_each_line_names_a_test_that_exists(who: str, test: str) -> None:
    assert test.strip("`") in _tests(), who
