"""The provider `openai`: any server that speaks chat completions, by OpenAI's official SDK.

Such are OpenAI, OpenRouter, Ollama, llama.cpp, vLLM, and endpoints of Gemini and DeepSeek. They differ in
what they accept; a parameter that one refuses is left out from then on.
"""

import json
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Container, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

from attrs import define, field

from agent_runner.loop.client import ModelClient, ModelReply, ModelRequest, Stop, Usage
from agent_runner.loop.conversation import Asked, Blob, Message, Part, Returned, Said, Text, ToolCall
from agent_runner.loop.errors import ModelError, Problem
from agent_runner.loop.provider import LoopProvider
from agent_runner.loop.receiving import Receiving
from agent_runner.providers import ModelSettings, Provider, ProviderContext
from agent_runner.providers.sdks import SdkClient, open_sdk, receive_events, sdk_errors, token_count
from agent_runner.text import clean

Json = dict[str, Any]
Quirk = Literal["max_completion_tokens", "no stream_options", "no tools"]
"""What a server needs to be asked differently."""
_QUIRKS: dict[Quirk, re.Pattern[str]] = {
    "max_completion_tokens": re.compile(r"max_completion_tokens"),
    "no stream_options": re.compile(r"stream_options"),
    "no tools": re.compile(
        r"not support (tools|function)|tools? (is|are) not supported|tool use", re.IGNORECASE
    ),
}
_STOPS: dict[str, Stop] = {"length": "length", "content_filter": "refusal"}
_NO_NAME = ModelError(
    Problem.FATAL,
    "[model] name is not set",
    "No model is chosen. Owner: set [model] name in config.toml, or run `nanoclaw setup`.",
)


def create() -> Provider:
    """Make the provider, for `providers.load`."""
    return LoopProvider("openai", open_client)


@asynccontextmanager
async def open_client(context: ProviderContext, settings: ModelSettings) -> AsyncGenerator[ModelClient]:
    """Open a client of the SDK."""
    async with open_sdk("openai", "AsyncOpenAI", context, settings) as sdk:
        yield OpenAiClient(sdk)


@define(eq=False)
class OpenAiClient:
    """Implements `ModelClient`."""

    _sdk: SdkClient
    _quirks: set[Quirk] = field(factory=set, init=False)

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Send a request and return the answer. A refused parameter is left out, and the request repeated."""
        if not request.model:
            raise _NO_NAME
        for _ in _QUIRKS:
            try:
                return await self._ask(request, streamed)
            except ModelError as error:
                if not self._learns(error):
                    raise
        return await self._ask(request, streamed)

    def _learns(self, error: ModelError) -> bool:
        """Return True if the error tells of a quirk that was not known."""
        if error.problem in {Problem.RETRY, Problem.BUDGET, Problem.QUOTA}:
            return False
        named: set[Quirk] = {quirk for quirk, words in _QUIRKS.items() if words.search(error.reason)}
        found = named - self._quirks
        self._quirks.update(found)
        return bool(found)

    async def _ask(self, request: ModelRequest, streamed: Callable[[str], None]) -> ModelReply:
        receiving = Receiving(streamed, spoken)
        with sdk_errors(request):
            body = request_body(request, self._quirks)
            async with self._sdk.stream("/chat/completions", body) as response:
                await receive_events(response, partial(receive_chunk, receiving))
        return receiving.reply()


def spoken(text: str) -> str:
    """Return an answer without the thoughts that some models write before it, as `<think>…</think>`."""
    begun = text.lstrip()
    if not begun.startswith("<think>"):
        return text
    return begun.partition("</think>")[2].lstrip()  # fast, as it is repeated for each piece of the answer


# -- requests ----------------------------------------------------------------------


def request_body(request: ModelRequest, quirks: Container[Quirk] = ()) -> Json:
    """Return the body of a request, without `stream`."""
    limit = "max_completion_tokens" if "max_completion_tokens" in quirks else "max_tokens"
    body: Json = {"model": request.model, limit: request.max_tokens, "messages": list(_messages(request))}
    if "no stream_options" not in quirks:
        body["stream_options"] = {"include_usage": True}
    if request.tools and "no tools" not in quirks:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": spec.name,
                    "description": spec.description,
                    "parameters": dict(spec.parameters),
                },
            }
            for spec in request.tools
        ]
        if not request.may_call:
            body["tool_choice"] = "none"
    return body


def _messages(request: ModelRequest) -> Iterator[Json]:
    if request.system.strip():
        yield {"role": "system", "content": clean(request.system)}
    for message in request.messages:
        yield from _message(message)


def _message(message: Message) -> Iterator[Json]:
    match message:
        case Asked(parts):
            yield {"role": "user", "content": _content(parts)}
        case Said(text, calls):
            answer: Json = {"role": "assistant", "content": clean(text) or None}
            yield {**answer, "tool_calls": [_call(call) for call in calls]} if calls else answer
        case Returned(results):
            for result in results:
                text = f"Error: {result.text}" if result.is_error else result.text
                yield {"role": "tool", "tool_call_id": result.call_id, "content": clean(text)}


def _content(parts: tuple[Part, ...]) -> str | list[Json]:
    """Return plain text where there is nothing else, because every server takes that."""
    if not any(isinstance(part, Blob) for part in parts):
        return "\n\n".join(_words(part) for part in parts)
    return [_part(part) for part in parts]


def _words(part: Part) -> str:
    return clean(part.text) if isinstance(part, Text) else f"[The file {part.name!r} is not shown to you.]"


def _part(part: Part) -> Json:
    if not isinstance(part, Blob):
        return {"type": "text", "text": _words(part)}
    url = f"data:{part.media_type};base64,{b64encode(part.data).decode()}"
    if part.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": part.name, "file_data": url}}


def _call(call: ToolCall) -> Json:
    arguments = clean(json.dumps(dict(call.arguments), ensure_ascii=False))
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


# -- answers -----------------------------------------------------------------------


def receive_chunk(receiving: Receiving, chunk: Mapping[str, Any]) -> bool:
    """Take a part of the answer. Return True if the rest need not be read."""
    receiving.heard()
    if isinstance(usage := chunk.get("usage"), Mapping):
        receiving.usage = _usage(usage)
    for choice in (chunk.get("choices") or ())[:1]:
        delta = choice.get("delta") or {}
        receiving.text(delta.get("content"))
        for call in delta.get("tool_calls") or ():
            _receive_call(receiving, call)
        if delta.get("refusal"):
            receiving.text(delta["refusal"])
            receiving.stop = "refusal"
        if choice.get("finish_reason"):
            receiving.stop = receiving.stop or _STOPS.get(choice["finish_reason"], "end")
    return receiving.is_full


def _receive_call(receiving: Receiving, call: Mapping[str, Any]) -> None:
    """Add a piece of a call. Some servers send whole calls, all with the index 0 or with none."""
    id_, index = call.get("id"), call.get("index")
    known = receiving.id_of(index)
    key = (index, id_) if id_ and known and id_ != known else index
    function = call.get("function") or {}
    receiving.call(key, id_, function.get("name"), function.get("arguments"))


def _usage(reported: Mapping[str, Any]) -> Usage:
    cached = token_count(reported.get("prompt_tokens_details"), "cached_tokens") or 0
    asked = token_count(reported, "prompt_tokens") or 0
    return Usage(max(0, asked - cached), token_count(reported, "completion_tokens") or 0, cached)
