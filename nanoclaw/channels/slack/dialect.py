"""Agents' Markdown as Slack's mrkdwn, and Slack's texts as plain text.

See "Formatting message text" in Slack's documentation: `&`, `<` and `>` are escaped in every text, and what
stands in `<…>` is a link, a mention or a command.
"""

import re
from collections.abc import Callable, Mapping

from nanoclaw.records import ReactionContent

LONGEST = 3_800
"""Limit in characters of one message of ours. Slack advises 4,000, and shortens from 40,000 on."""
_LINK = re.compile(r"(<(?:https?|mailto|tel):[^<>\s]+(?:\|[^<>]*)?>)")
_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
_NOT_A_QUOTE = re.compile(r"(?<!^)>", re.MULTILINE)
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_UNESCAPES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_SPECIAL = re.compile(r"<([^<>]*)>|&(?:amp|lt|gt);")
_TONES = {chr(0x1F3FB + n): f"::skin-tone-{n + 2}" for n in range(5)}
_VARIATION = "\N{VARIATION SELECTOR-16}"


def escaped(text: str) -> str:
    """Return a plain text as Slack takes it."""
    return text.translate(_ESCAPES)


def mrkdwn(markdown: str) -> str:
    """Return Markdown in Slack's dialect. Nothing in it is a mention or a command of Slack."""
    from slackify_markdown import slackify_markdown  # noqa: PLC0415 -- of the extra

    text = slackify_markdown(markdown).strip("\n")
    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(escaped(part) if n % 2 else _escaped_beside_links(part) for n, part in enumerate(parts))


def _escaped_beside_links(text: str) -> str:
    """Return a text in which only its links have brackets. The library leaves some that it should escape."""
    parts = _LINK.split(text)
    return "".join(_AMPERSAND.sub("&amp;", part if n % 2 else _bare(part)) for n, part in enumerate(parts))


def _bare(text: str) -> str:
    return _NOT_A_QUOTE.sub("&gt;", text.replace("<", "&lt;"))


def plain(text: str, name_of: Callable[[str], str]) -> str:
    """Return a text of Slack as a person reads it. `name_of` returns the name of a user's id."""
    return _SPECIAL.sub(lambda found: _plain(found, name_of), text)


def _plain(found: re.Match[str], name_of: Callable[[str], str]) -> str:
    inside: str | None = found[1]
    if inside is None:
        return _UNESCAPES[found[0]]
    target, _, label = inside.partition("|")
    label = plain(label, name_of)
    match target[:1]:
        case "@":
            return f"@{name_of(target[1:])}"
        case "#":
            return f"#{label or target[1:]}"
        case "!":
            return label or f"@{target[1:].partition('^')[0]}"
        case _:
            return _link(plain(target, name_of), label)


def _link(address: str, label: str) -> str:
    shown = address.removeprefix("mailto:").removeprefix("tel:")
    return f"{label} ({address})" if label and label not in {address, shown} else shown


def mentioned(text: str) -> list[str]:
    """Return the ids of the users whom a text mentions."""
    return re.findall(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>", text)


def emoji_name(content: ReactionContent) -> str:
    """Return Slack's name of an emoji, such as `thumbsup`. A name in colons is kept."""
    import emoji  # noqa: PLC0415 -- of the extra

    given = content.emoji.strip()
    tone = next((_TONES[each] for each in given if each in _TONES), "")
    bare = "".join(each for each in given if each not in _TONES and each != _VARIATION)
    return emoji.demojize(bare, language="alias").strip(":") + tone


def emoji_of(name: str) -> str:
    """Return the emoji of one of Slack's names. One of the workspace alone is returned as `:name:`."""
    import emoji  # noqa: PLC0415 -- of the extra

    base, _, tone = name.partition("::")
    found = emoji.emojize(f":{base}:", language="alias")
    tones: Mapping[str, str] = {value: key for key, value in _TONES.items()}
    return found + tones.get(f"::{tone}", "") if found != f":{base}:" else found
