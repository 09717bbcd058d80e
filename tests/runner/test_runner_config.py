"""The configuration in the environment, and its errors."""

from pathlib import Path

import pytest

from agent_runner.config import RunnerConfig, from_environment
from agent_runner.errors import ConfigError
from agent_runner.providers import load
from agent_runner.providers.mcp_servers import McpServer
from tests.runner.world import SCHEMA


def test_an_empty_environment_gives_the_paths_of_the_container() -> None:
    config = from_environment({"AGENT_PROVIDER": "", "TZ": ""})
    assert config == RunnerConfig(schema_dir=SCHEMA)
    assert str(config.inbound_db) == "/workspace/in/inbound.db"
    assert str(config.outbound_db) == "/workspace/outbound.db"
    assert str(config.heartbeat) == "/workspace/.heartbeat"
    assert (config.provider, config.timezone) == ("echo", "UTC")


def test_every_variable_is_read(tmp_path: Path) -> None:
    (tmp_path / "outbound").mkdir()
    config = from_environment(
        {
            "SESSION_INBOUND_DB_PATH": "/a/i.db",
            "SESSION_OUTBOUND_DB_PATH": "/b/o.db",
            "SESSION_HEARTBEAT_PATH": "/b/h",
            "NANOCLAW_WORKSPACE": "/w",
            "NANOCLAW_SCHEMA_DIR": str(tmp_path),
            "AGENT_PROVIDER": "other",
            "NANOCLAW_AGENT_GROUP_ID": "ag-1",
            "NANOCLAW_AGENT_GROUP_NAME": "Kitchen",
            "NANOCLAW_ASSISTANT_NAME": "Nano",
            "NANOCLAW_ADMIN_USER_IDS": "tg:1, tg:2,,",
            "NANOCLAW_MCP_SERVERS": (
                '{"s": {"command": "c", "args": ["a"], "env": {"K": "v"}}, "t": {"command": "d"},'
                ' "u": {"url": "https://u", "headers": {"A": "b"}}}'
            ),
            "TZ": "Europe/Berlin",
            "NANOCLAW_SLOW_POLL_S": "20",
            "NANOCLAW_KEEP_ACKS_S": "60.0",
            "NANOCLAW_KEEP_MESSAGES_S": "86400",
        }
    )
    assert config == RunnerConfig(
        inbound_db=Path("/a/i.db"),
        outbound_db=Path("/b/o.db"),
        heartbeat=Path("/b/h"),
        workspace=Path("/w"),
        schema_dir=tmp_path,
        provider="other",
        agent_group_id="ag-1",
        agent_group_name="Kitchen",
        assistant_name="Nano",
        admin_user_ids=("tg:1", "tg:2"),
        mcp_servers={
            "s": McpServer("c", ("a",), {"K": "v"}),
            "t": McpServer("d"),
            "u": McpServer(url="https://u", headers={"A": "b"}),
        },
        timezone="Europe/Berlin",
        slow_poll=20.0,
        keep_acks=60.0,
        keep_messages=86_400.0,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SESSION_INBOUND_DB_PATH", "/"),
        ("NANOCLAW_SCHEMA_DIR", "/nowhere"),
        ("NANOCLAW_KEEP_ACKS_S", "a week"),
        ("NANOCLAW_KEEP_MESSAGES_S", "nan"),
        ("TZ", "Mars/Olympus"),
        ("TZ", "../etc/passwd"),
        ("NANOCLAW_MCP_SERVERS", "{"),
        ("NANOCLAW_MCP_SERVERS", "[]"),
        ("NANOCLAW_MCP_SERVERS", '{"s": {}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"command": "c", "url": "http://x"}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"url": "http://x", "headers": {"A": 1}}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"url": "http://x", "args": []}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"command": "c", "arg": []}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"command": "c", "args": [1]}}'),
        ("NANOCLAW_MCP_SERVERS", '{"s": {"command": "c", "env": {"A": 1}}}'),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        from_environment({name: value})


def test_an_unknown_provider_is_refused_with_the_known_names() -> None:
    with pytest.raises(
        ConfigError, match="'gpt-9' is unknown; known: anthropic, claude, echo, openai, scripted"
    ):
        load("gpt-9")
