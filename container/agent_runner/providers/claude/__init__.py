"""The provider `claude`: Claude Code, the program that comes with claude-agent-sdk, as the agent.

It never holds the model's key: it reaches the gateway through a forwarder on loopback. Its own tools (shell,
files, web) are on only in a sandbox. The modules that import the SDK are loaded when the provider is opened.
"""

from agent_runner.providers.claude.provider import Claude, create

__all__ = ["Claude", "create"]
