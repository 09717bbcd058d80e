"""Renders Markdown to safe HTML: without HTML of the text and images, with links to the web and mail only."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from threading import local

import trio
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

LONGEST = 256 << 10
"""Characters of a text that are rendered. A longer one is shown as it is."""
LONG = 4_000
"""Characters from which on a text is rendered in a thread: some texts take seconds."""
_parsers = local()
_LINK = re.compile(r"(https?://|mailto:)", re.IGNORECASE)


@lru_cache(maxsize=64)
def html(text: str) -> str:
    """Return the HTML of a Markdown text. It has only elements that Markdown has."""
    if len(text) > LONGEST:
        return f"<pre><code>{escape(text)}</code></pre>"
    rendered: str = _parser().render(text)
    return rendered


async def rendered_ahead(texts: Iterable[object]) -> None:
    """Render long texts in a thread, so that `html` has them and the host goes on meanwhile."""
    for text in texts:
        if isinstance(text, str) and len(text) > LONG:
            await trio.to_thread.run_sync(html, text)


def plain(rendered: str) -> str:
    """Return the beginning of rendered HTML as text, for screen readers and lists."""
    return " ".join(re.sub(r"<[^>]*>", " ", rendered[:2000]).split())[:300]


def _parser() -> MarkdownIt:
    """Return the parser of this thread: what finds its links keeps a state."""
    parser: MarkdownIt | None = getattr(_parsers, "parser", None)
    if parser is None:
        parser = _parsers.parser = _new_parser()
    return parser


def _new_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    parser.enable(["table", "strikethrough", "linkify"])
    if parser.linkify is not None:
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False})  # `setup.py` is no host
    parser.validateLink = lambda url: _LINK.match(url.strip()) is not None  # type: ignore[method-assign]  # as documented
    parser.add_render_rule("image", _image)
    return parser


def _image(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType
) -> str:
    """Show an image as a link: loading it would tell its server who reads."""
    token = tokens[index]
    address = str(token.attrs.get("src", ""))
    words = token.content or address
    return f'<a href="{escape(address)}">{escape(words)}</a>'
