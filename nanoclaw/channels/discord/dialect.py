"""Markdown in the dialect of Discord, which has no tables, images, rules and small headings."""

import re

from nanoclaw.channels.rendering import images_as_links, tables_as_code
from nanoclaw.channels.rendering.blocks import parser

LONGEST = 2_000
"""Limit of a message's text in characters."""
LARGEST_HEADING = 3
"""Discord has headings of three sizes."""
_CODE_OR_BOLD = re.compile(r"(?P<code>`+)[^`\n]*(?P=code)|(?<![\w\\])__(?P<bold>[^_\n]{1,300})__(?!\w)")
_HEADING = re.compile(r"^(?P<before>[ >]*)#{4,6}[ \t]+(?P<text>.*?)[ \t#]*$")
_RULE = re.compile(r"^(?P<before>[ >]*)[-*_ \t]+$")
_TASK = re.compile(r"^(?P<before>[ >]*(?:[-*+]|\d+[.)])[ \t]+)\[(?P<mark>[ xX])\][ \t]")
_PLAIN = re.compile(
    r"(?P<link>https?://\S+)|(?P<sign>[\\*_~`|])|(?m:^)(?P<start>[ \t]*)(?P<block>[>#+-]|\d+\.)"
)


def as_discord(markdown: str) -> str:
    """Return Markdown that Discord shows as it was meant."""
    text = images_as_links(tables_as_code(markdown)).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    for token in parser().parse(text):
        if token.map is None:
            continue
        first = token.map[0]
        if token.type == "heading_open" and int(token.tag[1:]) > LARGEST_HEADING:
            lines[first] = _HEADING.sub(r"\g<before>**\g<text>**", lines[first])
        elif token.type == "hr":
            lines[first] = _RULE.sub(rf"\g<before>{'─' * 12}", lines[first])
        elif token.type == "inline":
            for n in range(*token.map):
                lines[n] = _inline(lines[n])
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return plain text so that Discord shows each of its characters."""
    return _PLAIN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    if found["link"]:
        return found[0]
    if found["sign"]:
        return f"\\{found[0]}"
    number = found["block"][:-1]
    return f"{found['start']}{number}\\{found['block'][-1]}"


def _inline(line: str) -> str:
    line = _TASK.sub(lambda found: f"{found['before']}{'☐' if found['mark'] == ' ' else '☑'} ", line)
    return _CODE_OR_BOLD.sub(lambda found: found[0] if found["code"] else f"**{found['bold']}**", line)
