"""The channel `http`: an HTTP API, webhooks, an OpenAI-compatible API, and the web chat, on one server."""

from nanoclaw.channels.factory import ChannelContext, ChannelFactory, ChannelSetup, SetupQuestion
from nanoclaw.channels.http.checking import check
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.protocol import Channel


def _make(config: HttpConfig, context: ChannelContext) -> Channel:
    from nanoclaw.channels.http.channel import HttpChannel  # noqa: PLC0415 -- attrs classes of the server

    return HttpChannel(config, context)


HTTP = ChannelFactory(
    HttpConfig,
    _make,
    ChannelSetup(
        (
            SetupQuestion(
                "listen",
                "Address and port to listen on",
                help="Keep a loopback address unless a proxy with TLS stands before the server.",
                default="127.0.0.1:8080",
            ),
        ),
        check,
        how_to_pair=None,
        next_steps=(
            "`nanoclaw web` prints a link that opens the chat in a browser, as the owner.",
            "`nanoclaw http-keys add NAME` makes a key for a program or a person.",
        ),
    ),
)

__all__ = ["HTTP"]
