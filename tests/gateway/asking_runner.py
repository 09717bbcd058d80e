"""A runner that asks the gateway by hand: a message such as `POST /model/...` is sent, its answer told."""

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from attrs import frozen

from agent_runner import main
from agent_runner.providers import HttpClient, ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn


@frozen
class Asking:
    """Sends the request in a message, or tells about itself."""

    http: HttpClient
    context: ProviderContext

    async def run(self, turn: Turn, _tools: Toolbox) -> Result:
        text = str(turn.messages[-1].content["text"])
        return Result(replies=(Reply(text=await self._said(text)),))

    async def _said(self, text: str) -> str:
        if text == "who":
            return json.dumps([os.getpid(), self.context.model.name])
        method, _, path = text.partition(" ")
        try:
            response = await self.http.request(method, f"http://gateway{path}", content=b'{"model":"m"}')
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}"
        return f"{response.status_code} {(await response.aread()).decode()}"


class Provider:
    name = "openai"

    @asynccontextmanager
    async def open(self, context: ProviderContext) -> AsyncGenerator[TurnHandler]:
        async with context.http.open() as http:
            yield Asking(http, context)


if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:], {"openai": Provider, "anthropic": Provider}))
