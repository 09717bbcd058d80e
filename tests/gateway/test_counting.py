"""Tokens are counted from the answers of both interfaces, whole, streamed, cut and nonsensical."""

import json
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.gateway.counting import MAX_JSON, MAX_LINE, Counter, Counts
from nanoclaw.gateway.providers import Wire

ANTHROPIC: list[Mapping[str, object]] = [
    {
        "type": "message_start",
        "message": {
            "model": "claude-x",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 9,
                      "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello world!"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "a"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "name": "a"}},
    {"type": "message_delta", "usage": {"output_tokens": 33}},
]  # fmt: skip
OPENAI: list[Mapping[str, object]] = [
    {"model": "gpt-x", "choices": [{"delta": {"content": "hello "}}]},
    {
        "model": "gpt-x",
        "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}],
    },
    {
        "model": "gpt-x",
        "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}],
    },
    {"model": "gpt-x", "choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": ""}}]}}]},
    {
        "model": "gpt-x",
        "choices": [],
        "usage": {
            "prompt_tokens": 75,
            "completion_tokens": 33,
            "prompt_tokens_details": {"cached_tokens": 70},
        },
    },
]


def events(values: Iterable[Mapping[str, object]], end: str = "\n\n") -> bytes:
    return b"".join(f"event: x\ndata: {json.dumps(value)}{end}".encode() for value in values)


def counted(wire: Wire, data: bytes, *, streamed: bool = True, size: int = 7) -> Counts:
    counter = Counter(wire, streamed)
    for start in range(0, len(data), size):
        counter.feed(data[start : start + size])
    counter.end()
    return counter.counts()


@given(st.integers(1, 2000), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_a_stream_is_counted_however_it_is_cut_into_chunks(size: int, end: str) -> None:
    assert counted("anthropic", events(ANTHROPIC, end), size=size) == Counts("claude-x", 5, 70, 9, 33, 2)
    stream = events(OPENAI, end) + b"data: [DONE]\n\n"
    assert counted("openai", stream, size=size) == Counts("gpt-x", 5, 70, 0, 33, 2)


def test_an_answer_in_one_piece_is_counted() -> None:
    message = {
        "model": "claude-x",
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use"}],
        "usage": {"input_tokens": 5, "output_tokens": 6},
    }
    assert counted("anthropic", json.dumps(message).encode(), streamed=False) == Counts(
        "claude-x", 5, 0, 0, 6, 1
    )
    completion = {
        "model": "gpt-x",
        "choices": [{"message": {"content": "hi", "tool_calls": [{}, {}]}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6},
    }
    found = counted("openai", json.dumps(completion).encode(), streamed=False)
    assert found == Counts("gpt-x", 5, 0, 0, 6, 2)


def test_a_stream_that_is_cut_counts_what_is_known_and_estimates_the_rest() -> None:
    stream = events([OPENAI[0], {"choices": [{"delta": {"content": "x" * 94}}]}])
    assert counted("openai", stream) == Counts("gpt-x", 0, 0, 0, 25, 0)
    assert counted("anthropic", events(ANTHROPIC[:3])).input_tokens == 5


@pytest.mark.parametrize("value", [-1, 1.5, True, "7", None, 10**12, [1]])
def test_a_count_that_is_none_counts_nothing(value: object) -> None:
    usage = {"usage": {"prompt_tokens": value, "completion_tokens": value}}
    assert counted("openai", json.dumps(usage).encode(), streamed=False) == Counts()


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["anthropic", "openai"]))
def test_no_bytes_break_it(data: bytes, streamed: bool, wire: Wire) -> None:  # noqa: FBT001 -- hypothesis
    counted(wire, data, streamed=streamed)
    counted(wire, b"data: " + data + b"\n", streamed=streamed)


KEYS = (
    *("usage", "message", "choices", "delta", "content_block", "content", "tool_calls", "model", "index"),
    *("type", "prompt_tokens_details", "function", "output_tokens"),
)
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans(), st.sampled_from(["anthropic", "openai"]))
def test_no_json_breaks_it(value: object, streamed: bool, wire: Wire) -> None:  # noqa: FBT001 -- hypothesis
    data = json.dumps(value).encode()
    counted(wire, b"data: " + data + b"\n" if streamed else data, streamed=streamed, size=1000)


def test_a_huge_answer_is_not_kept() -> None:
    counter = Counter("openai", streamed=False)
    for _ in range(20):
        counter.feed(b"x" * (1 << 20))
        assert len(counter._rest) <= MAX_JSON
    stream = Counter("openai", streamed=True)
    for _ in range(20):
        stream.feed(b"data: " + b"x" * (1 << 20))
        assert len(stream._rest) <= MAX_LINE + (1 << 20)
    stream.feed(b"\n" + events(OPENAI))
    assert stream.counts().model == "gpt-x"
