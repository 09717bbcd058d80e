"""Reads a request as the scripted model does: what is new, what was done, what is to be summarised."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

SUMMARY, CORRECTION = "You summarise", "Nothing was sent, because"
MOST_SHOWN = 3
"""Messages that the timeline names."""
_BLOCK = re.compile(r"<messages\b[^>]*>(.*?)</messages>", re.DOTALL)
_SPOKEN = re.compile(r'<(message|task) id="(\d+)"[^>]*?(?:/>|>(.*?)</\1>)', re.DOTALL)
_INTERRUPTED = re.compile(r"<interrupted\b[^>]*>(.*?)</interrupted>", re.DOTALL)
_SENT = re.compile(r"<sent [^>]*>(.*?)</sent>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_ANSWERED = re.compile(r"\bre (#\S+)")
_ELSEWHERE = re.compile(r"\n?<message to=.*?</message>", re.DOTALL)


@frozen
class SpokenMessage:
    """A message that the model is to answer."""

    seq: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its first word."""
        return self.words[0]


@frozen
class Conversation:
    """What one request says."""

    messages: tuple[SpokenMessage, ...] = ()
    """The messages of the running turn, follow-ups included."""
    results: tuple[Sequence[str], ...] = ()
    """The results of the calls of the running turn, answer by answer."""
    sent: frozenset[str] = frozenset()
    """The texts that an interrupted turn sent."""
    summary: str | None = None
    """The summary that is asked for, if it is."""
    corrected: str | None = None
    """The last answer without the destinations that do not exist, if that is asked for."""

    def shown(self) -> str:
        """Return a short form for the timeline."""
        if self.summary is not None:
            return f"summary of {len(self.summary)} characters"
        names = " ".join(message.name for message in self.messages[:MOST_SHOWN])
        more = f" +{len(self.messages) - MOST_SHOWN}" if len(self.messages) > MOST_SHOWN else ""
        return f"{names or '-'}{more} step {len(self.results) + 1}{' corrected' if self.corrected else ''}"


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """Read a request in the format of chat completions."""
    system, *messages = body["messages"]
    if str(system["content"]).startswith(SUMMARY):
        names = _ANSWERED.findall(_text(messages[-1]))
        return Conversation(summary=" ".join(f"re {name}" for name in dict.fromkeys(names)) or "nothing")
    current = _current(messages)
    text = _text(messages[-1])
    if len(current) == 1 and "<messages" not in text and text.startswith(CORRECTION):
        return Conversation(corrected=_ELSEWHERE.sub("", _text(messages[-2])))
    asked = "\n".join(_text(message) for message in current if message["role"] == "user")
    return Conversation(tuple(_spoken(asked)), tuple(_results(current)), frozenset(_sent(asked)))


def _current(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the messages of the running turn: those after the last answer that called no tool."""
    ends = [
        n
        for n, message in enumerate(messages)
        if message["role"] == "assistant" and not message.get("tool_calls")
    ]
    return messages[max(ends, default=-1) + 1 :]


def _spoken(asked: str) -> Iterator[SpokenMessage]:
    for block in _BLOCK.findall(asked):
        for _, seq, content in _SPOKEN.findall(block):
            yield SpokenMessage(int(seq), tuple(html.unescape(_TAG.sub(" ", content)).split()) or ("?",))


def _sent(asked: str) -> Iterator[str]:
    for block in _INTERRUPTED.findall(asked):
        yield from map(html.unescape, _SENT.findall(block))


def _results(current: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for n, message in enumerate(current):
        if message["role"] == "assistant":
            count = len(message["tool_calls"])
            yield [_text(result) for result in current[n + 1 : n + 1 + count]]


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")
