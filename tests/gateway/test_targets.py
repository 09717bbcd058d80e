"""Which addresses a runner may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.gateway.models import SessionModels
from nanoclaw.gateway.refusals import Refused
from nanoclaw.gateway.targets import checked_target
from tests.gateway.stage import model

ANTHROPIC = "https://api.example.com"
OPENAI = "http://server:8000/v1"
MODELS = SessionModels(model(ANTHROPIC, "anthropic"), model(OPENAI, "openai"))


def url(method: str, target: str, models: SessionModels = MODELS, host: str = "gateway") -> str:
    return checked_target(models, method, target, host).url


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", "/model/v1/messages", f"{ANTHROPIC}/v1/messages"),
        ("POST", "/model/v1/messages?beta=true", f"{ANTHROPIC}/v1/messages?beta=true"),
        ("POST", "/model/v1/messages/count_tokens", f"{ANTHROPIC}/v1/messages/count_tokens"),
        ("GET", "/model/v1/models?limit=20", f"{ANTHROPIC}/v1/models?limit=20"),
        ("GET", "/model/v1/models/claude-x.1", f"{ANTHROPIC}/v1/models/claude-x.1"),
        ("POST", "/fallback/chat/completions", f"{OPENAI}/chat/completions"),
        ("GET", "/fallback/models", f"{OPENAI}/models"),
        ("GET", "/fallback/models/meta/llama-3:free", f"{OPENAI}/models/meta/llama-3:free"),
    ],
)
def test_the_paths_of_a_provider_lead_to_its_server(method: str, target: str, expected: str) -> None:
    assert url(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/model/v1/messages"),
        ("DELETE", "/model/v1/models/x"),
        ("POST", "/model/chat/completions"),
        ("POST", "/fallback/v1/messages"),
        ("POST", "/model/v1/files"),
        ("POST", "/v1/messages"),
        ("POST", "/modelx/v1/messages"),
        ("HEAD", "/model/"),
        ("POST", "/model/../fallback/v1/messages"),
        ("POST", "/model/v1/models/../messages"),
        ("GET", "/model/v1/models/./x"),
        ("GET", "/model/v1/models/x/.."),
        ("POST", "/model//v1/messages"),
        ("POST", "//evil.example/model/v1/messages"),
        ("POST", "/model/v1/%2e%2e/messages"),
        ("GET", "/model/v1/models/%2e%2e"),
        ("GET", "/model/v1/models/a%2fb"),
        ("POST", "http://evil.example/model/v1/messages"),
        ("CONNECT", "evil.example:443"),
        ("POST", "/model/v1/messages?beta=true&key=x"),
        ("POST", "/model/v1/messages#x"),
        ("POST", "/model/v1/messages;x"),
        ("POST", "/model\\v1/messages"),
        ("GET", "/model/v1/models/" + "x" * 2000),
        ("GET", "*"),
        ("GET", ""),
    ],
)
def test_every_other_address_is_refused(method: str, target: str) -> None:
    with pytest.raises(Refused) as refused:
        url(method, target)
    assert refused.value.status == 403


@pytest.mark.parametrize("host", ["evil.example", "gateway.evil.example", "169.254.169.254:80"])
def test_another_host_is_refused(host: str) -> None:
    with pytest.raises(Refused, match="serves no other host"):
        url("POST", "/model/v1/messages", host=host)


@pytest.mark.parametrize("host", ["gateway", "gateway:80", "localhost:4000", "127.0.0.1:4000", ""])
def test_a_forwarder_on_the_runner_s_loopback_may_name_its_own_address(host: str) -> None:
    assert url("POST", "/model/v1/messages", host=host)


def test_without_a_fallback_its_address_is_refused() -> None:
    with pytest.raises(Refused, match="no model at /fallback"):
        url("GET", "/fallback/models", SessionModels(MODELS.first))


def test_the_claude_program_may_look_if_its_server_is_there() -> None:
    models = SessionModels(model(ANTHROPIC, "claude"))
    assert url("HEAD", "/model/", models) == f"{ANTHROPIC}/"
    assert checked_target(models, "HEAD", "/model/", "").route.open


def test_a_provider_of_another_package_may_use_both_interfaces() -> None:
    models = SessionModels(model(OPENAI, "mine"))
    assert url("POST", "/model/v1/messages", models)
    assert url("POST", "/model/chat/completions", models)


def test_a_provider_that_asks_no_server_gets_none() -> None:
    with pytest.raises(Refused, match="has no model's server"):
        url("GET", "/model/models", SessionModels(model(None, "echo")))


@given(st.sampled_from(["GET", "POST", "HEAD"]), st.text(max_size=60))
def test_whatever_is_asked_leads_nowhere_but_below_the_configured_address(method: str, rest: str) -> None:
    try:
        found = url(method, f"/model/{rest}")
    except Refused:
        return
    assert found.startswith(f"{ANTHROPIC}/v1/")
    assert ".." not in found
