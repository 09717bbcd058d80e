"""What all generated pages share: the command that writes or compares them, and cells of tables."""

from collections.abc import Sequence
from pathlib import Path


def write_or_compare(page: Path, wanted: str, arguments: Sequence[str]) -> str | None:
    """Write a page with `--write`. Otherwise return an error if it is out of date."""
    if list(arguments) == ["--write"]:
        page.write_text(wanted, "utf-8")
    elif not page.exists() or page.read_text("utf-8") != wanted:
        return f"docs/{page.name} is out of date; run `make docs`"
    return None


def cell(text: str) -> str:
    """Return a text as the cell of a table."""
    return text.replace("|", "\\|")
