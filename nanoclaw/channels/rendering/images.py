"""Images in texts, for networks that show none: as links."""

import re

from nanoclaw.channels.rendering.blocks import parser

_IMAGE = re.compile(r"(?P<code>`+)[^`\n]*(?P=code)|!\[(?P<name>[^\[\]\n]*)\]\((?P<rest>[^()\n]*)\)")


def images_as_links(markdown: str) -> str:
    """Return Markdown in which images are links. Code is unchanged."""
    if "![" not in markdown:
        return markdown
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    for token in parser().parse(text):
        if token.type == "inline" and token.map is not None:
            for n in range(*token.map):
                lines[n] = _IMAGE.sub(_link, lines[n]) if "![" in lines[n] else lines[n]
    return "\n".join(lines)


def _link(found: re.Match[str]) -> str:
    if found["code"]:
        return found.group()
    return f"[{found['name'] or 'image'}]({found['rest']})"
