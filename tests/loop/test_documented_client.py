"""The client in the how-to page about providers works as it stands."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2

from agent_runner.loop import Message, ModelClient, ModelRequest, Returned, Said, ToolResult
from agent_runner.loop.conversation import asked
from agent_runner.providers import ModelSettings

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-provider.md"


def documented() -> dict[str, Any]:
    [block] = [
        code for code in re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL) if "LoopProvider" in code
    ]
    namespace: dict[str, Any] = {}
    exec(block, namespace)  # noqa: S102 -- a program of our own page
    return namespace


async def test_the_documented_client_asks_and_answers() -> None:
    bodies: list[Any] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json={"text": "42", "asked": 3, "said": 1})

    parts = documented()
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(serve)) as http:
        client: ModelClient = parts["OracleClient"](http, ModelSettings())
        messages: list[Message] = [asked("why?"), Said("because"), Returned((ToolResult("1", "found"),))]
        reply = await client.ask(ModelRequest(model="m", system="s", messages=messages), lambda _text: None)
    assert (reply.text, reply.usage.input, parts["create"]().name) == ("42", 3, "oracle")
    assert bodies[0]["lines"] == ["why?", "You: because", "Result: found"]
