"""`[runtime] pass_env`: the variables of the host's environment that a runner gets, and no others."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from nanoclaw.config.passed_variables import missing, passed
from nanoclaw.host import Seams, open_host
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config
from tests.host.runtimes import FakeRuntime

HOST = {
    "OPENAI_API_KEY": "sk-1",
    "OPENAI_ORG": "me",
    "SSL_CERT_FILE": "/ca.pem",
    "PATH": "/bin",
    "PYTHONSTARTUP": "/evil.py",
    "NANOCLAW_HOME": "/home/nano",
    "TZ": "Mars",
    "OTHER": "x",
}


@pytest.mark.parametrize(
    ("names", "given"),
    [
        ((), set()),
        (("OPENAI_API_KEY",), {"OPENAI_API_KEY"}),
        (("OPENAI_*", "SSL_CERT_FILE"), {"OPENAI_API_KEY", "OPENAI_ORG", "SSL_CERT_FILE"}),
        (("openai_api_key", "NOT_SET"), set()),
        (("P*", "N*", "T*"), set()),
    ],
)
def test_only_named_variables_are_passed_and_never_those_of_the_host(
    names: tuple[str, ...], given: set[str]
) -> None:
    assert passed(names, HOST) == {name: HOST[name] for name in given}


def test_a_name_that_is_not_set_is_missing_and_a_pattern_is_not() -> None:
    assert missing(("OPENAI_API_KEY", "NOT_SET", "NOT_*"), HOST) == ["NOT_SET"]


async def spec_of_a_runner(home: Path, container: str | None = None, **changes: object) -> RunnerSpec:
    """Return the specification of a host's first runner."""
    runtime, channel = FakeRuntime(), FakeChannel()
    if container is not None:
        (home / "groups" / "main").mkdir(parents=True)
        (home / "groups" / "main" / "container.json").write_text(container)
    with trio.fail_after(GUARD_S):
        async with open_host(
            config(home, **changes), channels=[channel], seams=Seams(runtime=runtime)
        ) as host:
            await wire(host, channel.address(), agent="main")
            await channel.say("hello", event_id="1")
            return (await runtime.wait_started(1)).spec


async def environment(home: Path, *names: str, container: str | None = None) -> Mapping[str, str]:
    return (await spec_of_a_runner(home, container, runtime={"pass_env": names})).environment


@pytest.fixture(autouse=True)
def host_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, HOST[name])


async def test_a_runner_gets_the_variables_that_the_configuration_names(tmp_path: Path) -> None:
    given = await environment(tmp_path, "OPENAI_*", "NOT_SET")
    assert given["OPENAI_API_KEY"] == "sk-1"
    assert {"SSL_CERT_FILE", "NOT_SET"}.isdisjoint(given)


async def test_the_variables_of_an_agent_come_before_those_of_the_host(tmp_path: Path) -> None:
    own = '{"env": {"OPENAI_API_KEY": "sk-own"}}'
    assert (await environment(tmp_path, "OPENAI_API_KEY", container=own))["OPENAI_API_KEY"] == "sk-own"


async def test_no_value_is_in_the_text_of_a_specification(tmp_path: Path) -> None:
    spec = await spec_of_a_runner(tmp_path, runtime={"pass_env": ["OPENAI_API_KEY"]})
    assert "sk-1" not in repr(spec)


async def test_a_key_of_a_model_is_never_passed(tmp_path: Path) -> None:
    model = {"provider": "openai", "fallback": {"provider": "anthropic", "key": {"env": "SSL_CERT_FILE"}}}
    spec = await spec_of_a_runner(tmp_path, model=model, runtime={"pass_env": ["OPENAI_*", "SSL_*"]})
    assert {"OPENAI_API_KEY", "SSL_CERT_FILE"}.isdisjoint(spec.environment)
    assert "sk-1" not in str(dict(spec.environment))


async def test_a_key_of_one_agent_is_not_passed_to_it(tmp_path: Path) -> None:
    own = '{"model": {"provider": "openai", "baseUrl": "http://a/v1", "key": {"env": "OPENAI_API_KEY"}}}'
    assert "OPENAI_API_KEY" not in await environment(tmp_path, "OPENAI_*", container=own)


async def test_a_key_of_another_agent_is_not_passed_either(tmp_path: Path) -> None:
    other = tmp_path / "groups" / "other"
    other.mkdir(parents=True)
    (other / "container.json").write_text('{"model": {"provider": "openai"}}')
    assert "OPENAI_API_KEY" not in await environment(tmp_path, "OPENAI_*")
