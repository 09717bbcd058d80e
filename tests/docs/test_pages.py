"""The pages are consistent: every link has a target, every page is in the index, lines are short."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "actors" / "README.md", *DOCS.rglob("*.md")])
LONGEST = 120


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def prose(page: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_has_an_existing_target(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def long_lines(page: Path) -> Iterator[str]:
    """Yield the lines that are too long, but for those of tables: a row cannot be broken."""
    for line in prose(page).splitlines():
        if len(line) > LONGEST and not line.startswith("|"):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_lines_are_short(page: Path) -> None:
    assert list(long_lines(page)) == []


def test_a_broken_link_is_detected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n[here](page.md#a-page) [there](page.md#no) [nowhere](no.md)\n", "utf-8")
    assert list(broken_links(page)) == ["page.md#no", "no.md"]
