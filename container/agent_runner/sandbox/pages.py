"""Turns HTML on stdin into Markdown on stdout: `python -m agent_runner.sandbox.pages [URL]`.

Links become absolute, as seen from the page's URL.

It is a process of its own, because a page may be made so that it takes a long time or much memory.
"""

import resource
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any
from urllib.parse import urljoin

MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""
LEFT_OUT = ("script", "style", "noscript", "template", "svg", "iframe", "head")
"""Elements that show nothing to people, or nothing in text."""


def main() -> int:
    """Convert, and return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.setrecursionlimit(20_000)
    html = sys.stdin.buffer.read().decode("utf-8", "replace")
    base = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.stdout.buffer.write(to_markdown(html, base).encode("utf-8", "replace"))
    return 0


def to_markdown(html: str, base: str) -> str:
    """Return a page as Markdown: its title, then its body."""
    soup: Any = import_module("bs4").BeautifulSoup(html, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for element in soup(LEFT_OUT):
        element.decompose()
    for link in soup("a", href=True):
        with suppress(ValueError):
            link["href"] = urljoin(base, link["href"])
    converter = import_module("markdownify").MarkdownConverter(heading_style="ATX", strip=["img"])
    text = str(converter.convert_soup(soup))
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
    return "\n".join([*([f"# {title}", ""] if title else []), *kept]).strip()


if __name__ == "__main__":
    sys.exit(main())
