"""The provider `claude` where something that it needs is missing."""

import pytest

from agent_runner.errors import ProviderError
from agent_runner.providers.claude import Claude, provider
from agent_runner.providers.http import NoHttp
from nanoclaw.testing.conformance.contexts import MemoryState, session_context


async def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "find_spec", lambda _: None)
    with session_context(MemoryState(), NoHttp(), {}) as context, pytest.raises(ProviderError) as raised:
        async with Claude().open(context):
            pass
    assert "pip install 'nanoclaw[claude]'" in raised.value.reason


async def test_without_a_gateway_it_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "find_spec", lambda _: "found")
    with session_context(MemoryState(), NoHttp(), {}) as context, pytest.raises(ProviderError) as raised:
        async with Claude().open(context):
            pass
    assert "NANOCLAW_MODEL_SOCKET" in raised.value.reason
