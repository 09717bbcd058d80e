import json
from collections.abc import Mapping

import pytest
import trio

from nanoclaw.config.model import KeyConfig
from nanoclaw.setup import finding
from nanoclaw.setup.finding import base_url, find, offer_of
from nanoclaw.setup.services import LOCAL
from nanoclaw.setup.targets import Offer, Target
from nanoclaw.testing.models import open_fake_model

OLLAMA, VLLM = LOCAL[0], LOCAL[2]


async def served(body: bytes, status: str = "200 OK", *, silent: bool = False) -> Offer | None:
    """Return what a server with this body offers."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4096)
            if silent:
                await trio.sleep_forever()
            head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nlocation: /v1/other\r\n\r\n"
            await stream.send_all(head.encode() + body)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        offer = await offer_of(VLLM, f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1")
        nursery.cancel_scope.cancel()
        return offer
    raise AssertionError


def listing(*names: object, owner: str = "vllm") -> bytes:
    return json.dumps(
        {"object": "list", "data": [{"id": name, "owned_by": owner} for name in names]}
    ).encode()


async def test_a_server_on_the_machine_is_offered_before_keys() -> None:
    async with open_fake_model([], names=["nomic-embed-text", "llama3.1:8b", "qwen3:4b"]) as model:
        environ = {"OLLAMA_HOST": model.url.removeprefix("http://"), "OPENAI_API_KEY": "sk-1"}
        local, *_, service = await find(environ)
    assert local.target == Target("openai", "qwen3:4b", f"{model.url}/v1")
    assert (local.models, local.cost) == (("qwen3:4b", "llama3.1:8b"), "free")
    assert service.target.key == KeyConfig(env="OPENAI_API_KEY")
    assert "sk-1" not in repr(service)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("GOOGLE_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
        ("ANTHROPIC_API_KEY", None),
    ],
)
def test_each_known_variable_offers_its_service(variable: str, url: str | None) -> None:
    [offer] = finding._with_keys({variable: "x", "OTHER": "y"})
    assert (offer.target.base_url, offer.target.key) == (url, KeyConfig(env=variable))
    assert variable in offer.words


def test_a_blank_variable_offers_nothing() -> None:
    assert list(finding._with_keys({"OPENAI_API_KEY": " "})) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ({}, "http://127.0.0.1:11434/v1"),
        ({"OLLAMA_HOST": "[::]"}, "http://127.0.0.1:11434/v1"),
        ({"OLLAMA_HOST": "http://localhost:5000"}, "http://localhost:5000/v1"),
        ({"OLLAMA_HOST": "[::1]:5000"}, "http://[::1]:5000/v1"),
        ({"OLLAMA_HOST": "10.0.0.7:5000"}, "http://127.0.0.1:11434/v1"),
        ({"OLLAMA_HOST": "evil.example"}, "http://127.0.0.1:11434/v1"),
        ({"OLLAMA_HOST": "127.0.0.1:x"}, "http://127.0.0.1:11434/v1"),
    ],
)
def test_only_addresses_of_the_machine_are_asked(host: Mapping[str, str], url: str) -> None:
    assert base_url(OLLAMA, host) == url


async def test_a_servers_own_word_names_it() -> None:
    offer = await served(listing("qwen2.5:7b", owner="library"))
    assert offer is not None
    assert offer.label == "Ollama on this machine"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"data": 3}',
        b'{"data": [1]}',
        listing(3),
        listing("a\x1b[2J"),
        listing("bge-m3"),
        b"[" * 9999,
    ],
)
async def test_something_else_on_the_port_is_no_model_server(body: bytes) -> None:
    assert await served(body) is None


async def test_a_redirect_and_an_error_are_no_model_server() -> None:
    assert await served(listing("a"), "302 Found") is None
    assert await served(listing("a"), "401 Unauthorized") is None


async def test_a_silent_server_delays_setup_by_a_second_at_most(autojump_clock: object) -> None:  # noqa: ARG001
    began = trio.current_time()
    assert await served(b"", silent=True) is None
    assert trio.current_time() - began <= finding.PROBE_S
