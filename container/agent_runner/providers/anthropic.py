"""The provider `anthropic`: Anthropic's API, or one that speaks its format, by the official SDK."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from attrs import define

from agent_runner.loop.client import ModelClient, ModelReply, ModelRequest, Stop, Usage
from agent_runner.loop.conversation import (
    Asked,
    Blob,
    Message,
    Part,
    Returned,
    Said,
    Text,
    ToolCall,
    ToolResult,
)
from agent_runner.loop.provider import LoopProvider
from agent_runner.loop.receiving import Receiving
from agent_runner.providers import ModelSettings, Provider, ProviderContext
from agent_runner.providers.sdks import SdkClient, open_sdk, receive_events, sdk_errors, token_count
from agent_runner.text import clean

DEFAULT_MODEL = "claude-sonnet-4-5"
CACHED = {"cache_control": {"type": "ephemeral"}}
"""Marks the end of what the server may cache."""
_STOPS: dict[str, Stop] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}

Json = dict[str, Any]


def create() -> Provider:
    """Make the provider, for `providers.load`."""
    return LoopProvider("anthropic", open_client)


@asynccontextmanager
async def open_client(context: ProviderContext, settings: ModelSettings) -> AsyncGenerator[ModelClient]:
    """Open a client of the SDK."""
    async with open_sdk("anthropic", "AsyncAnthropic", context, settings) as sdk:
        yield AnthropicClient(sdk)


@define(eq=False)
class AnthropicClient:
    """Implements `ModelClient`."""

    _sdk: SdkClient

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Send a request and return the answer."""
        receiving = Receiving(streamed)
        with sdk_errors(request):
            async with self._sdk.stream("/v1/messages", _body(request)) as response:
                await receive_events(response, partial(_receive, receiving))
        return receiving.reply()


# -- requests ----------------------------------------------------------------------


def _body(request: ModelRequest) -> Json:
    body: Json = {
        "model": request.model or DEFAULT_MODEL,
        "max_tokens": request.max_tokens,
        "messages": _messages(request),
    }
    if request.system.strip():
        body["system"] = [{**_text(request.system), **CACHED}]
    if request.tools:
        body["tools"] = [
            {"name": spec.name, "description": spec.description, "input_schema": dict(spec.parameters)}
            for spec in request.tools
        ]
        if not request.may_call:
            body["tool_choice"] = {"type": "none"}
    return body


def _messages(request: ModelRequest) -> list[Json]:
    """Return the messages. Neighbours of one role become one. The server may cache up to two ends."""
    found: list[Json] = []
    ends = {request.settled - 1, len(request.messages) - 1}
    for n, message in enumerate(request.messages):
        role, blocks = _blocks(message)
        if blocks and n in ends:
            blocks[-1].update(CACHED)
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        else:
            found.append({"role": role, "content": blocks})
    return found


def _blocks(message: Message) -> tuple[str, list[Json]]:
    match message:
        case Asked(parts):
            return "user", [_part(part) for part in parts]
        case Returned(results):
            return "user", [_result(result) for result in results]
        case Said(text, calls):
            return "assistant", [*_texts(text), *(_call(call) for call in calls)]


def _texts(text: str) -> Iterator[Json]:
    if text.strip():
        yield _text(text.rstrip())


def _text(text: str) -> Json:
    return {"type": "text", "text": clean(text)}


def _part(part: Part) -> Json:
    if isinstance(part, Text):
        return _text(part.text if part.text.strip() else "(empty)")
    if not isinstance(part, Blob):
        return _text(f"[The file {part.name!r} is not shown to you.]")
    source = {"type": "base64", "media_type": part.media_type, "data": b64encode(part.data).decode()}
    is_image = part.media_type.startswith("image/")
    return {"type": "image" if is_image else "document", "source": source}


def _call(call: ToolCall) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}


def _result(result: ToolResult) -> Json:
    text = clean(result.text) if result.text.strip() else "(no result)"
    return {
        "type": "tool_result",
        "tool_use_id": result.call_id,
        "content": text,
        "is_error": result.is_error,
    }


# -- answers -----------------------------------------------------------------------


def _receive(receiving: Receiving, event: Mapping[str, Any]) -> bool:
    """Take a part of the answer. Return True if the rest need not be read."""
    receiving.heard()
    match event:
        case {"type": "message_start", "message": {"usage": usage}}:
            receiving.usage = _usage(usage, receiving.usage)
        case {"type": "content_block_start", "content_block": {"type": "tool_use", "id": id_, "name": name}}:
            receiving.call(event.get("index"), id_, name, "")
        case {"type": "content_block_start", "content_block": {"type": "text", "text": text}}:
            receiving.text(text)
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}:
            receiving.text(text)
        case {
            "type": "content_block_delta",
            "delta": {"type": "input_json_delta", "partial_json": arguments},
        }:
            receiving.call(event.get("index"), "", "", arguments)
        case {"type": "message_delta", "delta": delta}:
            receiving.usage = _usage(event.get("usage"), receiving.usage)
            if delta.get("stop_reason"):
                receiving.stop = _STOPS.get(delta["stop_reason"], "end")
    return receiving.is_full


def _usage(reported: object, before: Usage) -> Usage:
    """Return the tokens so far. The end of a stream reports them again, but not all servers all of them."""
    return Usage(
        token_count(reported, "input_tokens") or before.input,
        token_count(reported, "output_tokens") or before.output,
        token_count(reported, "cache_read_input_tokens") or before.cached,
        token_count(reported, "cache_creation_input_tokens") or before.written,
    )
