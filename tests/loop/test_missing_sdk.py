"""Without its SDK a provider opens, and tells the user what is missing."""

import sys

import pytest

from agent_runner.errors import ProviderFatal
from nanoclaw.testing import FakeModel
from tests.loop.talk import PROVIDERS, talking


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_missing_sdk_is_told_once_with_the_command_that_installs_it(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, provider, None)  # importing it fails then
    async with talking(provider, FakeModel("hi")) as talk:
        with pytest.raises(ProviderFatal) as caught:
            await talk.say("hi")
    assert f"pip install 'nanoclaw[{provider}]'" in caught.value.for_user
