"""Markdown as the HTML of Matrix's messages."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import frozen


@frozen
class Html:
    """A text as HTML."""

    html: str
    is_marked_up: bool
    """False if it is a single paragraph without markup, which needs no HTML."""


def html_of(markdown: str) -> Html:
    """Return the HTML of a Markdown text. HTML in the text is shown as it is written."""
    html: str = _parser().render(markdown).strip()
    inner = html.removeprefix("<p>").removesuffix("</p>")
    return Html(html, "<" in inner)


@cache
def _parser() -> Any:
    """Return a parser of CommonMark with tables and strikethrough. Single line breaks are kept."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 -- of the extra `matrix`

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


def _image(_renderer: object, tokens: Sequence[Any], index: int, _options: object, _env: object) -> str:
    """Render an image as a link, because Matrix shows only pictures of its own servers."""
    from markdown_it.common.utils import escapeHtml  # noqa: PLC0415 -- of the extra `matrix`

    token = tokens[index]
    address = str(token.attrs.get("src", ""))
    return f'<a href="{escapeHtml(address)}">{escapeHtml(token.content or address)}</a>'
