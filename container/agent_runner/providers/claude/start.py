"""Starts Claude Code and connects to it."""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import claude_agent_sdk
import trio
from attrs import frozen
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, HookMatcher

from agent_runner.providers.claude.archive import Archive
from agent_runner.providers.claude.conversation import Conversation
from agent_runner.providers.claude.launch import SERVER, Launch, Position, command, environment
from agent_runner.providers.claude.program import Program
from agent_runner.providers.claude.tools import TurnTools
from agent_runner.sockets.forwarder import Forwarder

PROGRAM = Path(claude_agent_sdk.__file__).with_name("_bundled") / "claude"


@frozen
class Starter:
    """What every start of a runner shares."""

    forwarder: Forwarder
    tools: TurnTools
    archive: Archive
    folder: Path
    """The working directory of Claude Code."""

    async def start(self, launch: Launch, position: Position | None) -> Conversation:
        """Start Claude Code at `position`. Raises OSError, ClaudeSDKError; then nothing of it is left."""
        program = self._program(launch, position)
        client = ClaudeSDKClient(self._options(launch), transport=program)
        try:
            await client.connect()
        except BaseException:
            program.kill()
            with trio.CancelScope(shield=True):
                await program.close()
            raise
        return Conversation(launch, client, program, position)

    def _program(self, launch: Launch, position: Position | None) -> Program:
        launch.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        launch.prompt_file.write_text(launch.system_prompt, encoding="utf-8", errors="replace")
        _write_private(launch.servers_file, json.dumps(launch.servers()))
        url = self.forwarder.url + urlsplit(launch.model.url).path
        variables = environment(launch, url, self.forwarder.key)
        return Program(command(PROGRAM, launch, position), variables, self.folder, launch.home / "stderr.log")

    def _options(self, launch: Launch) -> ClaudeAgentOptions:
        """Return what the SDK itself does. The flags of the program are in `command`."""
        return ClaudeAgentOptions(
            mcp_servers={SERVER: self.tools.server(launch.tools)},
            hooks={"PreCompact": [HookMatcher(hooks=[self.archive.before_compaction])]},
        )


def _write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
