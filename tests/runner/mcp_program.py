"""MCP servers for tests, on stdio or on loopback: `python mcp_program.py MODE`. Most modes misbehave."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n pixel").decode()
OBJECT: dict[str, Any] = {"type": "object"}


def server() -> Any:
    """Return a server of the SDK. Its tool `more` adds a tool and announces it."""
    import mcp_types as types  # noqa: PLC0415 -- the raw modes start faster without it
    from mcp.server.lowlevel import Server  # noqa: PLC0415 -- as above

    names = ["add", "picture", "structured", "refuse", "more", "die", "hang", "environment"]

    async def on_list(_: Any, __: Any) -> Any:
        numbers = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
        tools = [
            types.Tool(
                name=name, description=f"To {name}.", input_schema=numbers if name == "add" else OBJECT
            )
            for name in names
        ]
        bad = types.Tool(
            name="bad",
            description="Bad.",
            input_schema={"type": "object", "properties": {"x": {"type": "nonsense"}}},
        )
        return types.ListToolsResult(tools=[*tools, bad])

    async def on_call(context: Any, params: Any) -> Any:
        arguments: Mapping[str, Any] = params.arguments or {}
        content: list[Any] = []
        match params.name:
            case "add":
                content = [types.TextContent(text=str(arguments["a"] + arguments["b"]))]
            case "picture":
                content = [types.ImageContent(data=PIXEL, mime_type="image/png")]
            case "structured":
                return types.CallToolResult(content=[], structured_content={"answer": 42})
            case "refuse":
                return types.CallToolResult(content=[types.TextContent(text="no, thanks")], is_error=True)
            case "environment":
                content = [types.TextContent(text=os.environ.get(arguments["name"], "(not set)"))]
            case "die":
                os._exit(3)
            case "hang":
                time.sleep(3600)  # noqa: ASYNC251 -- it hangs on purpose
            case _:
                names.append(f"extra{len(names)}")
                await context.session.send_tool_list_changed()
                content = [types.TextContent(text="there is more")]
        return types.CallToolResult(content=content)

    return Server("tests", on_list_tools=on_list, on_call_tool=on_call)


def good() -> None:
    """Serve on stdio."""
    import trio  # noqa: PLC0415 -- as above
    from mcp.server.stdio import stdio_server  # noqa: PLC0415 -- as above

    async def serve() -> None:
        made = server()
        async with stdio_server() as (incoming, outgoing):
            await made.run(incoming, outgoing, made.create_initialization_options())

    trio.run(serve)


def web() -> None:
    """Serve streamable HTTP on loopback. Writes the address to stdout."""
    import trio  # noqa: PLC0415 -- as above
    from hypercorn.config import Config  # noqa: PLC0415 -- as above
    from hypercorn.trio import serve  # noqa: PLC0415 -- as above

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.loglevel = "ERROR"
    app = server().streamable_http_app(host="127.0.0.1")

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(partial(serve, app, config))
            print(f"{binds[0]}/mcp", flush=True)  # noqa: T201 -- for the test
            await trio.to_thread.run_sync(sys.stdin.read)
            nursery.cancel_scope.cancel()

    trio.run(run)


def write(text: str) -> None:
    """Write to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def broken() -> None:
    """End with an error."""
    sys.exit("the configuration is missing")


def silent() -> None:
    """Never answer, not even to the end of stdin, with a child that has left the group."""
    child = subprocess.Popen(["/bin/sleep", "3600"], start_new_session=True)
    if "PIDS" in os.environ:
        Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(3600)


def endless() -> None:
    """Write one line for ever."""
    while True:
        write("x" * 1_000_000)


def garbage() -> None:
    """Write lines that are no messages."""
    while True:
        write("hello\n")


def chatty() -> None:
    """Write to stderr for ever, and serve all the same."""
    if os.fork():
        good()
    while True:
        sys.stderr.write("blah\n" * 1000)


def flood() -> None:
    """Send notifications for ever."""
    note = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    while True:
        write(f"{note}\n" * 100)


def huge() -> None:
    """Offer a tool with a schema of a megabyte, and a good one."""
    tools = [
        {"name": "big", "inputSchema": {"type": "object", "description": "x" * 1_000_000}},
        {"name": "small", "inputSchema": OBJECT},
    ]
    for line in sys.stdin:
        request = json.loads(line)
        results = {
            "initialize": {
                "protocolVersion": request.get("params", {}).get("protocolVersion"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "huge", "version": "1"},
            },
            "tools/list": {"tools": tools},
        }
        if result := results.get(request.get("method")):
            write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
