"""A Telegram on loopback that speaks the Bot API over HTTP, for tests of bots.

    async with open_fake_telegram() as telegram:
        ann = telegram.user("Ann")
        ...  # start a bot with `telegram.token` and `telegram.api_base`
        await telegram.confirmed(ann.says("hello"))
        assert telegram.shown(ann.chat)[-1].text == "echo: hello"

It has what a bot relies on: updates that come again until the offset passes them, long polling, webhooks, the
conflict of two pollers, files both ways, albums, topics, keyboards, reactions, edits, drafts, flood control
with `retry_after`, and the refusals of the real service in its words. It is no complete Bot API: an unknown
method is refused with 404.
"""

from nanoclaw.testing.networks.telegram.api import Call
from nanoclaw.testing.networks.telegram.chats import FakeChat, FakeFile, FakeMessage, FakeUser
from nanoclaw.testing.networks.telegram.network import FakeTelegram, open_fake_telegram

__all__ = ["Call", "FakeChat", "FakeFile", "FakeMessage", "FakeTelegram", "FakeUser", "open_fake_telegram"]
