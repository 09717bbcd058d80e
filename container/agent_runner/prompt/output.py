"""The final answer of a model, in parts: what goes to the conversation, what goes elsewhere.

`<message to="name">…</message>` goes to a destination, `<internal>…</internal>` to nobody. The rest goes to
the conversation. A tag that is not closed reaches to the end. A new `<message to=…>` closes the last one.
Everything else stays text: other tags, tags with other attributes, tags in code between backticks or tildes.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen

from agent_runner.records import Reply, Turn

LONGEST_REPLY = 100_000
"""Characters of one text. A channel sends a long text in several messages, so more would flood a chat."""
MOST_UNKNOWN = 20
LONGEST_TAG = 300
"""Characters between the brackets of a tag."""


@frozen
class Output:
    """An answer of a model."""

    replies: tuple[Reply, ...]
    """Its texts, each with the name of its destination, if it has one. `<internal>` is stripped."""
    unknown: tuple[str, ...] = ()
    """Names that no destination has. Their texts are in no reply: tell the model."""


def read_output(text: str, turn: Turn) -> Output:
    """Read the final answer of a turn. It never fails, whatever the text.

    The conversation comes first, then each destination once, with all that goes there.
    """
    texts = _texts(text)
    known = {each.name.casefold(): each.name for each in turn.destinations}
    elsewhere = {name: said for name, said in texts.items() if name is not None and said}
    replies = (
        [Reply(_bounded(texts[None]), in_reply_to=_answered(turn), markdown=True)] if texts[None] else []
    )
    replies += [
        Reply(_bounded(said), to=known[name], markdown=True)
        for name, said in elsewhere.items()
        if name in known
    ]
    return Output(tuple(replies), tuple(name for name in elsewhere if name not in known)[:MOST_UNKNOWN])


def _answered(turn: Turn) -> str | None:
    """Return the id of the newest message from the chat that is being answered."""
    return next((message.id for message in reversed(turn.messages) if message.address == turn.home), None)


def visible_draft(text: str) -> str:
    """Return what the conversation may be shown of an answer so far: no half tag, nothing internal."""
    if "<" not in text:
        return text
    return _texts(text[: _half_tag(text)])[None] or ""


def _texts(text: str) -> Mapping[str | None, str]:
    """Return the text for each destination, by its name in lower case. None stands for the conversation."""
    pieces: dict[str | None, list[str]] = {None: []}
    if "<" not in text:
        return {None: text.strip()}
    for to, piece in _Scan(text).pieces():
        pieces.setdefault(to, []).append(piece)
    return {to: _joined(found) for to, found in pieces.items()}


def _joined(pieces: Sequence[str]) -> str:
    """Join pieces of a text. Where a part was taken out, a blank line or a space is left."""
    joined: list[str] = []
    gap = ""
    for piece in pieces:
        words = piece.strip()
        leading = piece[: len(piece) - len(piece.lstrip())]
        if words and joined:
            joined.append("\n\n" if "\n" in gap + leading else " " if gap + leading else "")
            gap = ""
        if words:
            joined.append(words)
            gap = piece[len(piece.rstrip()) :]
        else:
            gap += piece
    return "".join(joined)


def _bounded(text: str) -> str:
    if len(text) <= LONGEST_REPLY:
        return text
    return f"{text[:LONGEST_REPLY]}\n\n[The answer was cut here: it has {len(text):,} characters.]"


# -- scanning ------------------------------------------------------------------------

_TOKEN = re.compile(
    rf"""
    (?P<fence>^[ ]{{0,3}}(?:`{{3,}}|~{{3,}})[^`<\n]*$)
    | (?P<ticks>`+)
    | <(?P<close>/?)(?P<tag>internal|message)(?P<rest>[\s/][^<>]{{0,{LONGEST_TAG}}})?>
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_TO = re.compile(r"""\s+to\s*=\s*(?:"([^"]+)"|'([^']+)'|([^\s"'/=]+))\s*""", re.IGNORECASE)
_WORD = re.compile(r"</?([a-z]*)", re.IGNORECASE)
_NAMES = ("internal", "message")


def _half_tag(text: str) -> int:
    """Return where a tag begins that may not be complete, or the length of the text."""
    start = text.rfind("<", max(0, len(text) - LONGEST_TAG - 12))
    found = _WORD.match(text, start) if start >= 0 else None
    if found is None or ">" in text[start:]:
        return len(text)
    word = found[1].lower()
    if found.end() == len(text):
        return start if any(name.startswith(word) for name in _NAMES) else len(text)
    return start if word in _NAMES and text[found.end()] in " \t\r\n/" else len(text)


@define(eq=False)
class _Scan:
    """Walks through the tokens of a text once. Each token is a tag, or may begin code."""

    text: str
    _tokens: Sequence[re.Match[str]] = field(init=False)
    _next_same: Sequence[int] = field(init=False)
    """For each run of backticks, the token that closes it: the next run as long as it, on the same line."""
    _no_fences: bool = field(default=False, init=False)
    """True once a fence was not closed. No later one is code, then."""

    def __attrs_post_init__(self) -> None:
        """Find the tokens."""
        self._tokens = list(_TOKEN.finditer(self.text))
        self._next_same = _pairs(self.text, self._tokens)

    def pieces(self) -> Iterator[tuple[str | None, str]]:
        """Yield each piece of text with its destination."""
        at, start, to = 0, 0, None
        while at < len(self._tokens):
            token = self._tokens[at]
            if not token["tag"]:
                at = self._past_code(at)
            elif _is_internal(token):
                yield to, self.text[start : token.start()]
                at, start = self._past_internal(at)
            elif (opened := _opened(token)) or _closes(token, to):
                yield to, self.text[start : token.start()]
                at, start, to = at + 1, token.end(), opened
                if opened:
                    yield to, "\n\n"  # texts of several tags are paragraphs
            else:
                at += 1
        yield to, self.text[start:]

    def _past_internal(self, at: int) -> tuple[int, int]:
        """Return the token and the place behind `<internal>`: its end tag, the last one, or the end."""
        depth, last = 0, at if _is_empty(self._tokens[at]) else None
        for index in range(at, len(self._tokens)):
            token = self._tokens[index]
            if (token["tag"] or "").lower() == "internal" and not _is_empty(token):
                depth += -1 if token["close"] else 1
                last = index if token["close"] else last
            if depth == 0:
                break
        if last is None:
            return len(self._tokens), len(self.text)
        return last + 1, self._tokens[last].end()

    def _past_code(self, at: int) -> int:
        """Return the token behind the code that begins at this one, or the next one if there is none."""
        if not self._tokens[at]["fence"]:
            return self._next_same[at] + 1
        if not self._no_fences:
            closing = self._closing_fence(at)
            if closing is not None:
                return closing + 1
            self._no_fences = True
        return at + 1

    def _closing_fence(self, at: int) -> int | None:
        fence = self._tokens[at]["fence"].strip()
        mark = fence[: len(fence) - len(fence.lstrip(fence[0]))]
        for index in range(at + 1, len(self._tokens)):
            found = (self._tokens[index]["fence"] or "").strip()
            if found.startswith(mark) and not found.strip(fence[0]):
                return index
        return None


def _is_internal(token: re.Match[str]) -> bool:
    return token["tag"].lower() == "internal" and not token["close"]


def _is_empty(token: re.Match[str]) -> bool:
    return (token["rest"] or "").endswith("/")


def _closes(token: re.Match[str], to: str | None) -> bool:
    """Return True for the end tag of the message that is open."""
    return to is not None and bool(token["close"]) and token["tag"].lower() == "message"


def _opened(token: re.Match[str]) -> str | None:
    """Return the name in `<message to="name">`, in lower case, or None for any other tag."""
    if token["close"] or token["tag"].lower() != "message":
        return None
    found = _TO.fullmatch(token["rest"] or "")
    return html.unescape(found[1] or found[2] or found[3]).strip().casefold() or None if found else None


def _pairs(text: str, tokens: Sequence[re.Match[str]]) -> Sequence[int]:
    """Return for each token the run of backticks that closes it, or its own index if there is none."""
    pairs = list(range(len(tokens)))
    line_end, ends = len(text) + 1, dict[int, int]()
    for index in reversed(range(len(tokens))):
        token = tokens[index]
        if not token["ticks"]:
            continue
        if token.start() < line_end:
            line_end, ends = text.rfind("\n", 0, token.start()) + 1, {}
        length = len(token["ticks"])
        pairs[index] = ends.get(length, index)
        ends[length] = index
    return pairs
