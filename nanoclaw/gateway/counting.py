"""Counting tokens in the answers of models as they pass: JSON in one piece, and server-sent events.

The numbers come from a server, so each is checked. What cannot be read counts nothing and breaks nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from nanoclaw.gateway.providers import Wire

MAX_JSON = 8 << 20
"""Bytes of an answer in one piece that are read for its counts."""
MAX_LINE = 4 << 20
"""Bytes of a line of server-sent events that are read for its counts."""
MOST_UNREAD = 64 << 10
"""Bytes of server-sent events that wait to be read. A short answer is read when it has been passed on."""
MAX_COUNT = 10**9
CHARACTERS_A_TOKEN = 4
"""For an estimate, where the server sent no count."""
_BYTES_A_TOKEN_OF_FILES = 32
_MOST_FILES = 1000
_FILE_MARK = b"base64"
_FILE = re.compile(rb'base64(?:,|".{0,80}?"data": ?")[A-Za-z0-9+/=]+', re.DOTALL)
"""A picture or document in a request."""


@frozen
class Counts:
    """The counts of one answer."""

    model: str = ""
    """The name that the server reported."""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0


@define(eq=False)
class Counter:
    """Reads one answer. `feed` takes its chunks, `counts` may be asked at any time."""

    wire: Wire
    streamed: bool
    """True if the answer is a stream of server-sent events."""
    _rest: bytearray = field(factory=bytearray, init=False)
    _too_long: bool = field(default=False, init=False)
    _model: str = field(default="", init=False)
    _usage: dict[str, int] = field(factory=dict, init=False)
    _characters: int = field(default=0, init=False)
    _calls: set[object] = field(factory=set, init=False)

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._rest += chunk
        if self.streamed:
            if len(self._rest) >= MOST_UNREAD:
                self._lines()
        elif len(self._rest) > MAX_JSON:
            self._characters += len(self._rest)
            self._rest.clear()
            self._too_long = True

    def end(self) -> None:
        """Take the end of the answer, or the point where it was cut."""
        if self.streamed:
            self._lines()
        rest = bytes(self._rest)
        self._rest.clear()
        if self.streamed:
            self._line(rest)
            return
        value = None if self._too_long else _parsed(rest)
        if isinstance(value, Mapping):
            self._take_whole(value)
        else:
            self._characters += len(rest)

    def counts(self) -> Counts:
        """Return what is known so far."""
        if self.streamed:
            self._lines()
        usage = self._usage
        cached = usage.get("cached", 0)
        # OpenAI's count of the input includes what was cached, Anthropic's does not.
        inside = cached if self.wire == "openai" else 0
        estimate = -(-self._characters // CHARACTERS_A_TOKEN)
        return Counts(
            self._model,
            max(0, usage.get("input", 0) - inside),
            cached,
            usage.get("written", 0),
            usage.get("output", 0) or estimate,
            len(self._calls),
        )

    # -- server-sent events

    def _lines(self) -> None:
        *lines, rest = self._rest.split(b"\n")
        if lines and self._too_long:
            lines, self._too_long = lines[1:], False
        for line in lines:
            self._line(bytes(line))
        self._rest = bytearray(rest)
        if len(rest) > MAX_LINE:
            self._rest.clear()
            self._too_long = True

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        event = _parsed(line[5:])
        if isinstance(event, Mapping):
            take = self._anthropic_event if self.wire == "anthropic" else self._openai_chunk
            take(event)

    def _anthropic_event(self, event: Mapping[str, Any]) -> None:
        message, block, delta = (_object(event.get(key)) for key in ("message", "content_block", "delta"))
        self._take_model(message)
        for usage in (message.get("usage"), event.get("usage")):
            self._take_usage(_object(usage))
        if str(block.get("type")).endswith("tool_use"):
            self._calls.add(event.get("index") if isinstance(event.get("index"), int) else len(self._calls))
        self._characters += sum(_length(delta.get(key)) for key in ("text", "partial_json", "thinking"))

    def _openai_chunk(self, chunk: Mapping[str, Any]) -> None:
        self._take_model(chunk)
        self._take_usage(_object(chunk.get("usage")))
        for choice in _objects(chunk.get("choices")):
            delta = _object(choice.get("delta"))
            self._characters += sum(map(_length, (delta.get("content"), delta.get("reasoning_content"))))
            for call in _objects(delta.get("tool_calls")):
                self._characters += _length(_object(call.get("function")).get("arguments"))
                index = call.get("index")
                self._calls.add(index if isinstance(index, int) else len(self._calls))

    # -- in one piece

    def _take_whole(self, value: Mapping[str, Any]) -> None:
        self._take_model(value)
        self._take_usage(_object(value.get("usage")))
        blocks = [
            each for each in _objects(value.get("content")) if str(each.get("type")).endswith("tool_use")
        ]
        messages = [_object(choice.get("message")) for choice in _objects(value.get("choices"))]
        calls = [call for message in messages for call in _objects(message.get("tool_calls"))]
        self._calls.update(range(len(blocks) + len(calls)))
        texts = [each.get("text") for each in _objects(value.get("content"))]
        self._characters += sum(map(_length, (*texts, *(message.get("content") for message in messages))))

    def _take_model(self, value: Mapping[str, Any]) -> None:
        name = value.get("model")
        if isinstance(name, str) and name and name.isprintable():
            self._model = name[:200]

    def _take_usage(self, usage: Mapping[str, Any]) -> None:
        """Take counts. Later ones replace earlier ones: both interfaces send totals."""
        details = _object(usage.get("prompt_tokens_details"))
        found = {
            "input": _count(usage, "input_tokens", "prompt_tokens"),
            "output": _count(usage, "output_tokens", "completion_tokens"),
            "cached": _count(usage, "cache_read_input_tokens", "prompt_cache_hit_tokens")
            or _count(details, "cached_tokens"),
            "written": _count(usage, "cache_creation_input_tokens"),
        }
        self._usage.update({key: count for key, count in found.items() if count is not None})


def estimated_input(body: bytes) -> int:
    """Estimate the tokens of a request, for an answer that ended before its counts came."""
    files = _size_of_files(body)
    return -(-(len(body) - files) // CHARACTERS_A_TOKEN) + files // _BYTES_A_TOKEN_OF_FILES


def _size_of_files(body: bytes) -> int:
    size = at = 0
    for _ in range(_MOST_FILES):
        if (at := body.find(_FILE_MARK, at)) < 0:  # much faster than a search for the pattern
            break
        found = _FILE.match(body, at)
        at = found.end() if found else at + len(_FILE_MARK)
        size += len(found[0]) if found else 0
    return size


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> Sequence[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
            return value
    return None
