"""Logs the account in: once with its password, as a device that is kept, or with an access token."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from attrs import define, evolve, field

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.matrix.config import MatrixConfig
from nanoclaw.channels.matrix.credentials import SESSION, Session, read_session, write_session
from nanoclaw.channels.matrix.server import ServerFailed, open_server
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.secrets import Secret
from nanoclaw.config.model import KeyConfig

DEVICE_NAME = "NanoClaw"


def new_device(random: Random) -> str:
    """Return an id for a new device."""
    return f"NC{random.getrandbits(40):010X}"


@define(eq=False)
class Login:
    """The session of a configured account."""

    config: MatrixConfig
    context: ChannelContext
    new_device: Callable[[], str]
    """Returns an id for a new device."""
    secret: Secret = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Take the secret that there is."""
        place = self.config.password or self.config.access_token
        assert isinstance(place, KeyConfig)  # noqa: S101 -- the configuration has one of both
        self.secret = Secret(place)

    @property
    def keys(self) -> Path:
        """The folder of the keys of encryption."""
        return self.context.folder / "keys"

    async def session(self) -> Session:
        """Return the session. It logs in if that is necessary.

        Raises:
            ChannelUnavailable: the server cannot be reached, or refuses the account.
            ConfigError: the extra is not installed.
        """
        secret = await self.secret.read()
        known = read_session(self.context.folder, self.config.homeserver, self.config.user)
        if self.config.access_token is not None:
            if known is not None and known.access_token == secret:
                return known
            return self._kept(await self._asked(secret))
        if known is None:
            known = self._kept(Session(self.config.homeserver, self.config.user, self.new_device()))
        return known if known.access_token else self._kept(await self._logged_in(known, secret))

    def forget(self, *, same_device: bool) -> None:
        """Forget the session, because the server does. The same device may log in again with its keys."""
        known = read_session(self.context.folder, self.config.homeserver, self.config.user)
        if known is not None and same_device:
            self._kept(evolve(known, access_token=""))
            return
        with suppress(FileNotFoundError):
            (self.context.folder / SESSION).unlink()

    def _kept(self, session: Session) -> Session:
        write_session(self.context.folder, session)
        return session

    async def _logged_in(self, session: Session, password: str) -> Session:
        async with open_server(session, self.keys) as server:
            with _refused():
                await server.login(password, DEVICE_NAME)
            return evolve(session, user_id=server.user_id, access_token=server.token)

    async def _asked(self, token: str) -> Session:
        """Return the session of an access token."""
        session = Session(self.config.homeserver, self.config.user, "unknown")
        async with open_server(session, self.keys) as server:
            with _refused():
                user_id, device_id = await server.who(token)
            return evolve(session, user_id=user_id, device_id=device_id or "unknown", access_token=token)


@contextmanager
def _refused() -> Iterator[None]:
    """Raise ChannelUnavailable if the server does not let the account in."""
    try:
        yield
    except DeliveryRejected as error:
        raise ChannelUnavailable(f"the account is refused: {error}", condition="unauthorized") from error
    except (ServerFailed, OSError) as error:
        raise ChannelUnavailable(f"the server fails: {type(error).__name__}: {error}") from error
