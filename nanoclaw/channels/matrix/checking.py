"""The questions of `nanoclaw channels add matrix`, and the call that checks the answers."""

from random import SystemRandom

import trio

from nanoclaw.channels.factory import Account, ChannelContext, ChannelSetup, SetupFailed, SetupQuestion
from nanoclaw.channels.matrix.config import MatrixConfig
from nanoclaw.channels.matrix.login import Login, new_device
from nanoclaw.channels.matrix.server import open_server
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.config import ConfigError
from nanoclaw.system.foreign import ungrouped

CHECK_S = 30.0

QUESTIONS = (
    SetupQuestion(
        "homeserver",
        "Address of the Matrix server",
        help="The server on which the assistant has an account of its own, such as https://matrix.org.",
        default="https://matrix.org",
    ),
    SetupQuestion(
        "user",
        "Account of the assistant",
        help="Create it in a Matrix client such as https://app.element.io, as for a person. "
        "It must not be your own account. Example: @my-assistant:matrix.org",
    ),
    SetupQuestion("password", "Password of that account", secret=True),
)


async def check(config: MatrixConfig, context: ChannelContext) -> Account:
    """Log in, and return the account. The session is kept for the channel. Raises SetupFailed."""
    try:
        with trio.fail_after(CHECK_S), ungrouped(ChannelUnavailable, DeliveryRejected, ConfigError):
            return await _check(config, context)
    except (ChannelUnavailable, DeliveryRejected, ConfigError) as error:
        raise SetupFailed(str(error)) from error
    except trio.TooSlowError:
        raise SetupFailed(f"{config.homeserver} did not answer within {CHECK_S:g} s") from None


async def _check(config: MatrixConfig, context: ChannelContext) -> Account:
    login = Login(config, context, lambda: new_device(SystemRandom()))
    session = await login.session()
    async with open_server(session, login.keys) as server:
        user_id, _ = await server.who(session.access_token)
    return Account(user_id, user_id, f"https://matrix.to/#/{user_id}")


SETUP = ChannelSetup(QUESTIONS, check)
