"""The Slack channel conforms to the protocol of channels."""

import pytest

from nanoclaw.testing.conformance import Check, channel_checks
from tests.channels.slack.slack_under_test import slack_under_test


@pytest.mark.parametrize("check", channel_checks(slack_under_test), ids=str)
async def test_slack_conforms(check: Check) -> None:
    await check()
