import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanoclaw import Host, open_host, render
from nanoclaw.agents import BadContainerJson, ContainerConfig, Grant, LimitsConfig, read_container_json
from nanoclaw.config.model import FallbackConfig, KeyConfig
from nanoclaw.records.network import NetworkRule
from nanoclaw.testing.world.channel import FakeChannel, wire
from tests.host.homes import GUARD_S, config

GOOD: dict[str, Any] = {
    "provider": "claude",
    "model": {
        "provider": "openai",
        "name": "m",
        "baseUrl": "http://a/v1/",
        "maxTokens": 10,
        "timeoutS": 5,
        "key": {"file": "key"},
        "fallback": "small",
    },
    "mcpServers": {
        "files": {"command": "mcp-files", "args": ["", "--all"], "env": {"EMPTY": ""}},
        "wiki": {"url": "https://mcp.example.com/mcp", "headers": {"Authorization": "Bearer t"}},
    },
    "image": "registry/agent:1",
    "mounts": [
        {"source": "notes", "target": "/notes"},
        {"source": "/srv/photos", "target": "/photos", "readOnly": False},
    ],
    "limits": {"memory": "512M", "processes": 64, "cpus": 1.5},
    "network": "none",
    "env": {"EDITOR": "vi"},
}


def write(folder: Path, value: object) -> Path:
    (folder / "container.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def problems(folder: Path, value: object) -> list[str]:
    """Return the problems of a file, without its path."""
    with pytest.raises(BadContainerJson) as caught:
        read_container_json(write(folder, value))
    start = re.compile(rf"{folder}/container.json( line \d+)?: ")
    assert all(start.match(problem) for problem in caught.value.problems)
    return [start.sub("", problem) for problem in caught.value.problems]


def test_every_key_is_read(tmp_path: Path) -> None:
    assert read_container_json(tmp_path) == ContainerConfig()
    found = read_container_json(write(tmp_path, GOOD))
    assert (found.model.base_url, found.model.max_tokens) == ("http://a/v1", 10)
    assert found.model.key == KeyConfig(file=tmp_path / "key")
    assert found.model.fallback == FallbackConfig(name="small")
    assert found.mounts == (
        Grant(tmp_path / "notes", PurePosixPath("/notes"), read_only=True),
        Grant(Path("/srv/photos"), PurePosixPath("/photos"), read_only=False),
    )
    assert found.limits == LimitsConfig(512 * 1024**2, 64, 1.5)
    assert {name: server.described() for name, server in found.mcp_servers.items()} == GOOD["mcpServers"]
    assert (found.provider, found.image) == ("claude", "registry/agent:1")
    assert found.network == NetworkRule("none")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"provder": "x"}, "provder is not known; the nearest is provider"),
        ({"mcp_servers": {}}, "mcp_servers is not known; the nearest is mcpServers"),
        ({"provider": 3}, "provider must be a non-empty string, got 3"),
        ({"mcpServers": []}, "mcpServers must be an object, got []"),
        ({"mcpServers": {"a": {}}}, "mcpServers.a must have either command or url"),
        (
            {"mcpServers": {"a": {"command": "c", "url": "https://x"}}},
            "mcpServers.a must have either command or url",
        ),
        ({"mcpServers": {"a": {"url": "ftp://x"}}}, "mcpServers.a.url must be an address such as https://"),
        (
            {"mcpServers": {"a": {"url": "https://x", "args": ["a"]}}},
            "mcpServers.a has a url, so it takes headers, not args or env",
        ),
        (
            {"mcpServers": {"a": {"command": "c", "headers": {"A": "b"}}}},
            "mcpServers.a has a command, so it takes args and env, not headers",
        ),
        ({"mcpServers": {"a": {"command": "c", "args": "x y"}}}, "mcpServers.a.args must be a list"),
        (
            {"mcpServers": {"a": {"command": "c", "args": [1]}}},
            "mcpServers.a.args[0] must be a string, got 1",
        ),
        ({"mcpServers": {"a": {"command": "c", "env": {"A": 1}}}}, "mcpServers.a.env.A must be a string"),
        ({"image": ""}, 'image must be a non-empty string, got ""'),
        ({"mounts": {}}, "mounts must be a list, got {}"),
        ({"mounts": ["x"]}, 'mounts[0] must be an object, got "x"'),
        ({"mounts": [{"source": "x"}]}, "mounts[0].target is missing"),
        ({"mounts": [{"source": 1, "target": "/x"}]}, "mounts[0].source must be a path, got 1"),
        *(
            ({"mounts": [{"source": "x", "target": target}]}, "mounts[0].target must be an absolute path in")
            for target in (
                "x",
                "/",
                "//x",
                "/a/../workspace",
                "/workspace",
                "/workspace/in",
                "/proc/x",
                "/opt",
                "/opt/nanoclaw/runner",
                "/\0",
                1,
            )
        ),
        ({"mounts": [{"source": "x", "target": "/x", "readOnly": 1}]}, "mounts[0].readOnly must be true or"),
        ({"limits": {"memory": "512"}}, "limits.memory must be a size of at least 4M"),
        ({"limits": {"memory": "9999999999999T"}}, "limits.memory must be a size of at least 4M"),
        ({"limits": {"memory": True}}, "limits.memory must be a size of at least 4M"),
        ({"limits": {"processes": 0}}, "limits.processes must be a whole number of at least 1, got 0"),
        ({"limits": {"cpus": 0}}, "limits.cpus must be a number of at least 0.01, got 0"),
        ({"limits": {"cpu": 1}}, "limits.cpu is not known; the nearest is cpus"),
        ({"network": "some*"}, "network must be none, ask, open, or a list of sites such as"),
        *(
            ({"packages": {installer: [name]}}, f"packages.{installer}[0] must be the name of a package of")
            for installer, name in (
                ("apt", "-y"),
                ("apt", "a b"),
                ("apt", "http://x/y.deb"),
                ("pip", "--index-url=x"),
                ("pip", "./here"),
                ("pip", "git+https://x/y"),
                ("pip", "x @ file:///y"),
                ("npm", "../x"),
                ("npm", "git+ssh://x"),
                ("npm", "x/y"),
            )
        ),
        ({"env": {"a b": "c"}}, "env.'a b' must be the name of a variable, got"),
        (
            {"env": {"NANOCLAW_SCHEMA_DIR": "c"}},
            "env.NANOCLAW_SCHEMA_DIR must be the name of a variable that",
        ),
        ({"env": {"TZ": "UTC"}}, "env.TZ must be the name of a variable that the host does not set itself"),
        ({"env": {"A": 1}}, "env.A must be a string, got 1"),
    ],
)
def test_each_problem_is_one_line_with_the_full_key(
    tmp_path: Path, change: dict[str, Any], wanted: str
) -> None:
    [problem] = problems(tmp_path, GOOD | change)
    assert problem.startswith(wanted)
    assert "\n" not in problem


@pytest.mark.parametrize("text", ["", "{", "[1", '{"a":' * 50_000, "\0"])
def test_invalid_json_is_one_error(tmp_path: Path, text: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.startswith("cannot be read as JSON: ")


def test_a_non_object_or_a_non_file_is_one_error(tmp_path: Path) -> None:
    assert problems(tmp_path, "[]") == ["must be a JSON object"]
    (tmp_path / "container.json").unlink()
    (tmp_path / "container.json").mkdir()
    with pytest.raises(BadContainerJson, match=r"container.json: cannot be read: Is a directory"):
        read_container_json(tmp_path)


WRONG = """\
{
  "image": "a",
  "env": {
    "A": 1
  },
  "image": "b", "mounts": [
    {"source": "x"}
  ],
  "netwrok": "none"
}
"""


def test_each_problem_names_its_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadContainerJson) as caught:
        read_container_json(write(tmp_path, WRONG))
    assert [problem.removeprefix(f"{tmp_path}/container.json ") for problem in caught.value.problems] == [
        "line 4: env.A must be a string, got 1",
        "line 6: image is given twice, first on line 2; remove one",
        "line 7: mounts[0].target is missing",
        "line 9: netwrok is not known; the nearest is network",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{\n"a"', " line 2: cannot be read as JSON: Expecting ':' delimiter, in column 4"),
        (b'{\n"image": "\xff"}', " line 2: must be UTF-8, got the byte 0xff; save it as UTF-8"),
        (
            b'{"image": ' + b"[" * 33 + b"]" * 33 + b"}",
            " line 1: is nested too deeply; use at most 32 levels",
        ),
        (b" " * (1024**2 + 1), ": must be at most 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "container.json").write_bytes(content)
    with pytest.raises(BadContainerJson, match=f"^{re.escape(f'{tmp_path}/container.json{problem}')}$"):
        read_container_json(tmp_path)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "container.json")
    with pytest.raises(
        BadContainerJson, match=r"container.json: must be a regular file, but is a special one"
    ):
        read_container_json(tmp_path)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "container.json").write_bytes(b'\xef\xbb\xbf{"image": "a"}')
    assert read_container_json(tmp_path).image == "a"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*GOOD, "x\ny"]), JSON, min_size=1))
def test_any_json_is_accepted_or_refused_with_one_line_per_problem(
    tmp_path: Path, value: dict[str, Any]
) -> None:
    found: tuple[str, ...] = ("fits",)
    try:
        read_container_json(write(tmp_path, value))
    except BadContainerJson as error:
        found = tuple(error.problems)
    assert found
    assert not any("\n" in problem for problem in found)


async def last_failure(host: Host, session: str) -> str | None:
    details = await host.sessions.status(session, 1.0)
    return None if details is None else details.runner.last_failure


async def test_an_invalid_file_fails_a_start_and_the_agent_answers_once_it_is_fixed(
    tmp_path: Path,
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            folder = tmp_path / "groups" / "main"
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, {"provder": "echo"})
            [session] = (await channel.say("hello", event_id="1")).session_ids
            while (reason := await last_failure(host, session)) is None:  # noqa: ASYNC110 -- nobody tells
                await trio.sleep(0.02)
            assert "container.json line 1: provder is not known; the nearest is provider" in reason
            write(folder, {"provider": "echo", "env": {"EDITOR": "vi"}})
            assert render(await channel.reply_to("1")) == "echo: hello"
