"""Turns with the real Claude Code: text, tools, what it may not do, and its conversation."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trio

from agent_runner.loop.conversation import Said
from agent_runner.loop.history import read_history
from agent_runner.providers.mcp_servers import McpServer
from nanoclaw.testing.models import ModelAnswer, ModelCall, ModelRequest
from tests.claude.world import ClaudeWorld, variables
from tests.runner import mcp_program

SEND = "mcp__nanoclaw__send_message"


def calling(
    name: str, arguments: Mapping[str, object], then: str = "done"
) -> Callable[[ModelRequest], ModelAnswer]:
    """Return answers: a call of a tool first, then a text."""

    def answer(request: ModelRequest) -> ModelAnswer:
        called = any("tool_result" in str(message) for message in request.messages)
        return ModelAnswer(then) if called else ModelAnswer("let me see", [ModelCall(name, arguments)])

    return answer


def said(request: ModelRequest) -> list[tuple[str, str]]:
    """Return the conversation that a request shows: who, and the text."""
    parts = [
        (message["role"], part.get("text", part["type"]))
        for message in request.messages
        for part in (message["content"] if isinstance(message["content"], list) else [])
    ]
    return [(who, text) for who, text in parts if who != "system" and "# Environment" not in text]


async def test_a_message_is_answered(world: ClaudeWorld) -> None:
    async with world.behind("Hello, *Ann*.") as model:
        await world.run(world.put(2, "good morning"))
    assert world.texts() == ["Hello, *Ann*."]
    assert "good morning" in model.requests[0].text or "good morning" in str(said(model.requests[0]))
    assert model.requests[0].model == "fake-model"


async def test_it_calls_our_tools(world: ClaudeWorld) -> None:
    async with world.behind(calling(SEND, {"text": "a moment"})) as model:
        await world.run(world.put(2, "go"))
    assert world.texts() == ["a moment", "done"]
    assert "sent as message" in str(model.requests[-1].messages)


async def test_a_tool_that_refuses_is_an_error_for_the_model(world: ClaudeWorld) -> None:
    async with world.behind(calling(SEND, {"text": "x", "to": "nobody"})) as model:
        await world.run(world.put(2, "go"))
    [result] = [part for part in model.requests[-1].messages[-1]["content"] if part["type"] == "tool_result"]
    assert result["is_error"]
    assert "there is no destination 'nobody'" in str(result["content"])


async def test_without_a_sandbox_it_has_only_our_tools(world: ClaudeWorld) -> None:
    async with world.behind("yes") as model:
        await world.run(world.put(2, "hi"))
    assert model.requests[0].tools
    assert all(name.startswith("mcp__nanoclaw__") for name in model.requests[0].tools)


async def test_without_a_sandbox_a_shell_command_is_refused(world: ClaudeWorld) -> None:
    trace = world.root / "trace"
    async with world.behind(calling("Bash", {"command": f"touch {trace}"})) as model:
        await world.run(world.put(2, "go"))
    assert not trace.exists()
    assert "No such tool available: Bash" in str(model.requests[-1].messages)


async def test_a_file_named_in_a_message_is_not_read(world: ClaudeWorld) -> None:
    secret = world.root / "secret.txt"
    secret.write_text("the-secret")
    async with world.behind("no") as model:
        await world.run(world.put(2, f"look at @{secret} please"))
        await world.run(world.put(4, f"/add-dir {secret.parent}"))
    assert "the-secret" not in json.dumps([dict(request.body) for request in model.requests])
    assert world.texts() == ["no", "no"]


async def test_in_a_sandbox_it_has_its_own_tools_and_the_socket_of_ours(world: ClaudeWorld) -> None:
    world.sandboxed = True
    command = {"command": "echo $NANOCLAW_TOOLS_SOCKET", "description": "look"}
    async with world.behind(calling("Bash", command)) as model:
        await world.run(world.put(2, "go"))
    assert "Bash" in model.requests[0].tools
    assert str(world.root / "outbound" / ".tools.sock") in str(model.requests[-1].messages)


@pytest.mark.parametrize("sandboxed", [True, False])
async def test_it_runs_the_mcp_servers_of_the_agent_in_a_sandbox_only(
    world: ClaudeWorld, *, sandboxed: bool
) -> None:
    program = Path(mcp_program.__file__)
    world.mcp_servers = {"mine": McpServer(sys.executable, (str(program), "good"))}
    world.sandboxed = sandboxed
    async with world.behind(calling("mcp__mine__add", {"a": 20, "b": 22})) as model:
        await world.run(world.put(2, "go"))
    tools = model.requests[0].tools
    assert ("mcp__mine__add" in tools) == sandboxed
    assert ("42" in str(model.requests[-1].messages)) == sandboxed
    assert not {"mcp__nanoclaw__bash", "mcp__nanoclaw__mcp__mine__add"} & set(tools)


async def test_its_environment_has_nothing_of_the_hosts(
    world: ClaudeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOST_SECRET", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "leaked")
    async with world.behind("yes") as model, world.claude():
        await world.until_acked(world.put(2, "hi"))
        [pid] = world.processes
        seen = variables(pid)
    assert "leaked" not in seen.values()
    assert "leaked" not in model.requests[0].headers.values()
    prefixes = ("CLAUDE_", "DISABLE_", "ANTHROPIC_", "MCP_", "API_")
    others = {name for name in seen if not name.startswith(prefixes)}
    assert others <= {"PATH", "LANG", "HOME", "TZ", "PWD", "ENABLE_TOOL_SEARCH"}


async def test_the_model_of_a_session_can_be_changed(world: ClaudeWorld) -> None:
    async with world.behind("yes") as model:
        await world.run(world.put(2, "one"))
        await world.run(world.put(4, "/model another"))
        await world.run(world.put(6, "two"))
    assert [request.model for request in model.requests] == ["fake-model", "another"]
    assert ("assistant", "yes") in said(model.requests[1])


async def test_a_new_runner_continues_the_conversation(world: ClaudeWorld) -> None:
    async with world.behind(["first answer", "second answer"]) as model:
        await world.run(world.put(2, "one"))
        await world.run(world.put(4, "two"))
    texts = said(model.requests[-1])
    assert ("assistant", "first answer") in texts
    assert "one" in texts[0][1]


async def test_an_interrupted_turn_leaves_nothing_in_the_conversation(world: ClaudeWorld) -> None:
    asked = trio.Event()

    async def answer(request: ModelRequest) -> ModelAnswer:
        if "wait-for-it" in str(request.messages) and not asked.is_set():
            asked.set()
            await trio.sleep_forever()
        return ModelAnswer("fine")

    async with world.behind(answer) as model:
        await world.run(world.put(2, "one"))
        id_ = world.put(4, "wait-for-it")
        async with world.claude():
            await asked.wait()
        assert world.processes == []
        world.settle()
        await world.run(id_)
    whole = [text for who, text in said(model.requests[-1]) if who == "user"]
    assert sum("wait-for-it" in text for text in whole) == 1


async def test_a_conversation_that_is_gone_begins_anew_and_says_so_once(world: ClaudeWorld) -> None:
    async with world.behind("fine"):
        await world.run(world.put(2, "one"))
        for file in (world.root / "outbound" / "claude" / ".claude" / "projects").rglob("*.jsonl"):
            file.unlink()
        await world.run(world.put(4, "two"))
        await world.run(world.put(6, "three"))
    assert [text[:20] for text in world.texts()] == ["fine", "(I could not go on w", "fine", "fine"]


async def test_a_follow_up_is_seen_between_two_steps(world: ClaudeWorld) -> None:
    called = trio.Event()

    async def answer(request: ModelRequest) -> ModelAnswer:
        if not called.is_set():
            called.set()
            world.put(4, "make it blue")
            await world.until(lambda: len(world.acks()) == 2)
            return ModelAnswer("", [ModelCall(SEND, {"text": "working"})])
        return ModelAnswer("blue it is" if "make it blue" in str(request.messages) else "red")

    async with world.behind(answer):
        await world.run(world.put(2, "paint it"), "in-4")
    assert world.texts() == ["working", "blue it is"]


async def test_another_providers_conversation_is_told_to_it_once(world: ClaudeWorld) -> None:
    turn = json.dumps({"v": 1, "messages": [{"asked": ["my cat is Tom"]}, {"said": "Hi Tom", "calls": []}]})
    with world.outbound() as connection:
        connection.execute("INSERT INTO session_state VALUES ('history/000001', ?, '')", (turn,))
    async with world.behind(["one", "two"]) as model:
        await world.run(world.put(2, "what is its name?"))
        await world.run(world.put(4, "and now?"))
    assert "my cat is Tom" in str(model.requests[0].messages)
    assert str(model.requests[1].messages).count("my cat is Tom") == 1


async def test_its_turns_are_kept_for_other_providers(world: ClaudeWorld) -> None:
    async with world.behind("Tom, I think"):
        await world.run(world.put(2, "what is its name?"))
    [(kept,)] = world.out("SELECT value FROM session_state WHERE key = 'history/000001'")
    history = read_history({"history/000001": str(kept)})
    [asked, answered] = history.turns[0].messages
    assert "what is its name?" in str(asked)
    assert answered == Said("Tom, I think")


async def test_compaction_archives_the_transcript_and_keeps_the_summary(world: ClaudeWorld) -> None:
    def answer(request: ModelRequest) -> str:
        return "<summary>THE-SUMMARY</summary>" if "summary" in str(request.messages[-1]) else "fine"

    async with world.behind(answer) as model:
        await world.run(world.put(2, "remember the milk"))
        await world.run(world.put(4, "/compact"))
        await world.run(world.put(6, "and now?"))
    [transcript] = (world.root / "agent" / "conversations").glob("*.md")
    assert "remember the milk" in transcript.read_text()
    assert "THE-SUMMARY" in str(model.requests[-1].messages)


async def test_what_it_says_so_far_is_a_draft(world: ClaudeWorld) -> None:
    gate = trio.Event()
    id_ = world.put(2)
    draft = world.root / "outbound" / ".draft"
    async with world.behind(ModelAnswer("one two three", between=gate)), world.claude():
        while not draft.exists():  # noqa: ASYNC110 -- a draft is no commit, so no event tells of it
            await trio.sleep(0.02)
        assert json.loads(draft.read_text())["text"]
        gate.set()
        await world.until_acked(id_)
