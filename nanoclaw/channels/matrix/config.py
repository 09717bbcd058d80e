"""The table `[channels.matrix]`."""

from typing import Annotated

from attrs import field, frozen

from nanoclaw.config.model import Address, KeyConfig


@frozen
class MatrixConfig:
    """The account of the assistant on a Matrix server, with a password or an access token."""

    homeserver: Annotated[str, Address()]
    """The server's address, such as `https://matrix.example.org`."""
    user: str
    """The account: `@assistant:example.org`, or its first part `assistant`."""
    password: KeyConfig | None = field(default=None, repr=False)
    """The place of its password. The channel logs in once and keeps the session."""
    access_token: KeyConfig | None = field(default=None, repr=False)
    """The place of an access token of a session of its own, instead of the password."""
    encrypt_direct_chats: bool = True
    """True: a direct chat that the assistant opens is encrypted."""

    def __attrs_post_init__(self) -> None:
        """Require exactly one of the secrets."""
        if (self.password is None) == (self.access_token is None):
            raise ValueError("must have either a password or an access_token")
