"""The configuration of the channel `http`."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from attrs import field, frozen

from nanoclaw.config.kinds import Bytes, Name, Number, Unfit
from nanoclaw.config.model import KeyConfig

DAY_S = 86_400.0
MOST_PORT = 65_535
_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):(\d{1,5})")


@frozen
class ListenAddress:
    """A host and a port, such as `127.0.0.1:8080` or `[::1]:8080`."""

    wanted: str = "a host and a port such as 127.0.0.1:8080"

    def read(self, value: object) -> str:
        """Return the address."""
        match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
        if match is None or int(match[2]) > MOST_PORT:
            raise Unfit(self.wanted, value)
        return match[0]


@frozen
class WebhookConfig:
    """A place where a program reports events: `POST /v1/webhooks/<name>`."""

    secret: KeyConfig = field(repr=False)
    """The place of the secret that the program shares with the channel."""
    chat: Name
    """The chat whose agents get the events."""
    style: Literal["secret", "hmac", "github", "standard"] = "secret"
    """`secret`: the header `X-Webhook-Secret` or `Authorization: Bearer` has the secret. `hmac`:
    `X-Webhook-Signature` is `sha256=` and the HMAC of the body. `github`: as GitHub signs its webhooks.
    `standard`: as the specification Standard Webhooks says, with an id and a date.
    """


@frozen
class SharedChatConfig:
    """A chat of several users."""

    users: tuple[Name, ...]
    """The users who may read it and write to it, by the names of their keys."""


@frozen
class HttpConfig:
    """The keys of a table `[channels.<name>]` of the type `http`."""

    listen: Annotated[str, ListenAddress()] = "127.0.0.1:8080"
    """The address to listen on. Use a loopback address unless a proxy with TLS stands before it."""
    hosts: tuple[Name, ...] = ()
    """Further host names under which clients reach the server, such as that of a proxy."""
    webhooks: Mapping[str, WebhookConfig] = field(factory=dict)
    """The tables `[channels.http.webhooks.<name>]`: programs that report events."""
    chats: Mapping[str, SharedChatConfig] = field(factory=dict)
    """The tables `[channels.http.chats.<name>]`: chats of several users."""
    callback_secret: KeyConfig | None = field(default=None, repr=False)
    """The place of the secret that signs callbacks. Without it no callbacks are taken."""
    private_callbacks: bool = False
    """Allow callbacks to addresses of this machine and of private networks."""
    answer_within_s: Annotated[float, Number(at_least=1)] = 600.0
    """Time limit of an answer of `/v1/chat/completions`."""
    requests_a_minute: Annotated[int, Number(at_least=1, whole=True)] = 120
    """The most requests of one key in a minute, on average."""
    connections: Annotated[int, Number(at_least=1, whole=True)] = 200
    """The most connections at a time."""
    largest_upload: Annotated[int, Bytes("1K")] = 50 << 20
    """Limit of one request with files: bytes, or a string such as `50M`."""
    keep_s: Annotated[float, Number(at_least=3600)] = 90 * DAY_S
    """Time that messages and files are kept for clients that ask later."""

    @property
    def place(self) -> tuple[str, int]:
        """The host and the port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """True if only programs of this machine can connect."""
        host, _ = self.place
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
