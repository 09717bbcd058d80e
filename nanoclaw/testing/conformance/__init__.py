"""Conformance suites: checks for your own channel, runtime or provider, to run in your tests.

    @pytest.mark.parametrize("check", channel_checks(mine), ids=str)
    async def test_my_channel_conforms(check):
        await check()

where `mine` opens an async context with your channel and the hooks that control its network.
"""

from nanoclaw.testing.conformance.channel import channel_checks
from nanoclaw.testing.conformance.checks import Check, NotConforming
from nanoclaw.testing.conformance.networks import ChannelUnderTest, DirectChat, Thread
from nanoclaw.testing.conformance.provider import provider_checks
from nanoclaw.testing.conformance.providers import ProviderUnderTest
from nanoclaw.testing.conformance.runtime import RuntimeUnderTest, runtime_checks
from nanoclaw.testing.conformance.sessions import make_session

__all__ = [
    "ChannelUnderTest",
    "Check",
    "DirectChat",
    "NotConforming",
    "ProviderUnderTest",
    "RuntimeUnderTest",
    "Thread",
    "channel_checks",
    "make_session",
    "provider_checks",
    "runtime_checks",
]
