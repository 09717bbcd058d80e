"""Answers in the wire formats of both vendors: one body, or the events of a stream."""

import json
from collections.abc import Iterator, Mapping, Sequence

from nanoclaw.testing.models.answers import ModelAnswer, ModelCall, ModelRequest, Wire

_ANTHROPIC_STOPS = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"}
_OPENAI_STOPS = {"end": "stop", "length": "length", "refusal": "content_filter"}


def dump(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def whole(request: ModelRequest, answer: ModelAnswer) -> bytes:
    """Return an answer as one body."""
    return dump((_anthropic_whole if request.wire == "anthropic" else _openai_whole)(request, answer))


def events(request: ModelRequest, answer: ModelAnswer) -> Iterator[tuple[bytes, bool]]:
    """Yield the events of a streamed answer, each with whether it carries a piece of the text."""
    if request.wire == "anthropic":
        for event, is_text in _anthropic_events(request, answer):
            yield b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), dump(event)), is_text
        return
    for chunk, is_text in _openai_chunks(request, answer):
        yield b"data: %s\n\n" % dump(chunk), is_text
    yield b"data: [DONE]\n\n", False


def pieces(answer: ModelAnswer) -> Sequence[str]:
    """Return the text in the pieces that it is streamed in."""
    size = max(1, -(-len(answer.text) // max(1, answer.pieces)))
    return [answer.text[at : at + size] for at in range(0, len(answer.text), size)]


def models(wire: Wire, names: Sequence[str]) -> bytes:
    """Return the list of models."""
    kind = "model" if wire == "anthropic" else "object"
    data = [{"id": name, kind: "model", "type": "model", "display_name": name} for name in names]
    return dump({"object": "list", "data": data, "has_more": False})


def _arguments(call: ModelCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments))


def _named(request: ModelRequest, answer: ModelAnswer) -> Iterator[tuple[int, str, ModelCall]]:
    for n, call in enumerate(answer.calls):
        yield n, call.id or f"call_{len(request.messages)}_{n}", call


# -- Anthropic ---------------------------------------------------------------------


def _anthropic_head(request: ModelRequest, answer: ModelAnswer) -> dict[str, object]:
    usage = {
        "input_tokens": answer.usage.input,
        "output_tokens": answer.usage.output,
        "cache_read_input_tokens": answer.usage.cached,
        "cache_creation_input_tokens": 0,
    }
    return {
        "id": f"msg_{len(request.messages)}",  # Claude Code joins answers of one id
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _anthropic_stop(answer: ModelAnswer) -> str:
    return "tool_use" if answer.calls else _ANTHROPIC_STOPS[answer.stop]


def _anthropic_whole(request: ModelRequest, answer: ModelAnswer) -> Mapping[str, object]:
    content: list[object] = [{"type": "text", "text": answer.text}] if answer.text else []
    for _, id_, call in _named(request, answer):
        block = {"type": "tool_use", "id": id_, "name": call.name, "input": json.loads(_arguments(call))}
        content.append(block)
    head = _anthropic_head(request, answer)
    return {**head, "content": content, "stop_reason": _anthropic_stop(answer)}


def _anthropic_events(
    request: ModelRequest, answer: ModelAnswer
) -> Iterator[tuple[Mapping[str, object], bool]]:
    yield {"type": "message_start", "message": _anthropic_head(request, answer)}, False
    blocks = 0
    if answer.text:
        yield from _anthropic_text(answer)
        blocks = 1
    for n, id_, call in _named(request, answer):
        yield from ((event, False) for event in _anthropic_call(blocks + n, id_, call))
    delta = {"stop_reason": _anthropic_stop(answer), "stop_sequence": None}
    usage = {"output_tokens": answer.usage.output}
    yield {"type": "message_delta", "delta": delta, "usage": usage}, False
    yield {"type": "message_stop"}, False


def _anthropic_text(answer: ModelAnswer) -> Iterator[tuple[Mapping[str, object], bool]]:
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}, False
    for piece in pieces(answer):
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}, True
    yield {"type": "content_block_stop", "index": 0}, False


def _anthropic_call(index: int, id_: str, call: ModelCall) -> Iterator[Mapping[str, object]]:
    block = {"type": "tool_use", "id": id_, "name": call.name, "input": {}}
    yield {"type": "content_block_start", "index": index, "content_block": block}
    delta = {"type": "input_json_delta", "partial_json": _arguments(call)}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


# -- OpenAI ------------------------------------------------------------------------


def _openai_usage(answer: ModelAnswer) -> Mapping[str, object]:
    asked = answer.usage.input + answer.usage.cached
    return {
        "prompt_tokens": asked,
        "completion_tokens": answer.usage.output,
        "total_tokens": asked + answer.usage.output,
        "prompt_tokens_details": {"cached_tokens": answer.usage.cached},
    }


def _openai_stop(answer: ModelAnswer) -> str:
    return "tool_calls" if answer.calls else _OPENAI_STOPS[answer.stop]


def _openai_calls(request: ModelRequest, answer: ModelAnswer) -> list[Mapping[str, object]]:
    return [
        {
            "index": n,
            "id": id_,
            "type": "function",
            "function": {"name": call.name, "arguments": _arguments(call)},
        }
        for n, id_, call in _named(request, answer)
    ]


def _openai_whole(request: ModelRequest, answer: ModelAnswer) -> Mapping[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = _openai_calls(request, answer)
    choice = {"index": 0, "message": message, "finish_reason": _openai_stop(answer)}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": request.model}
    return {**head, "choices": [choice], "usage": _openai_usage(answer)}


def _openai_chunks(request: ModelRequest, answer: ModelAnswer) -> Iterator[tuple[Mapping[str, object], bool]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": request.model}

    def chunk(delta: Mapping[str, object], stop: str | None = None) -> Mapping[str, object]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": stop}]}

    yield chunk({"role": "assistant", "content": ""}), False
    for piece in pieces(answer):
        yield chunk({"content": piece}), True
    for call in _openai_calls(request, answer):
        yield chunk({"tool_calls": [call]}), False
    yield chunk({}, _openai_stop(answer)), False
    if (request.body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _openai_usage(answer)}, False
