"""The channel `http`: an HTTP API, webhooks, an OpenAI-compatible API, and the web chat, on one server."""

from nanoclaw.channels.factory import ChannelContext, ChannelFactory
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.protocol import Channel


def _make(config: HttpConfig, context: ChannelContext) -> Channel:
    from nanoclaw.channels.http.channel import HttpChannel  # noqa: PLC0415 -- attrs classes of the server

    return HttpChannel(config, context)


HTTP = ChannelFactory(HttpConfig, _make)

__all__ = ["HTTP"]
