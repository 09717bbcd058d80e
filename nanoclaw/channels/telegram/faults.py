"""Errors of the SDK as those of a channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.telegram.request import NotSent

BAD_TOKEN = (
    "Telegram refuses the bot's token: "  # noqa: S105 -- a sentence
    "get it again from @BotFather (`/token`), and store it in the same place"
)
SECOND_POLLER = (
    "another program uses this bot: Telegram gives its updates to one program at a time; "
    "stop the other one, or use another bot"
)


def seconds(error: RetryAfter) -> float:
    """Return how long Telegram asks to wait."""
    wait: object = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(str(wait))


def unavailable(error: TelegramError) -> ChannelUnavailable | None:
    """Return the error of a call that Telegram did not take, but may take later. None for any other error."""
    match error:
        case RetryAfter():
            wait = seconds(error)
            reason = f"Telegram asks to wait for {wait:g} s"
            return ChannelUnavailable(reason, wait, condition="rate limited")
        case InvalidToken():
            return ChannelUnavailable(BAD_TOKEN, condition="unauthorized")
        case Conflict():
            return ChannelUnavailable(SECOND_POLLER, condition="conflict")
        case NotSent():
            return ChannelUnavailable(error.message)
        case _:
            return None


@contextmanager
def as_delivery() -> Iterator[None]:
    """Raise refusals of Telegram as those of a delivery. Other errors pass: then the outcome is unknown."""
    try:
        yield
    except ChatMigrated:
        raise
    except (Forbidden, BadRequest) as error:
        raise DeliveryRejected(f"Telegram: {error.message}") from error
    except TelegramError as error:
        known = unavailable(error)
        if known is None:
            raise
        raise known from error


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Raise each error of the SDK as ChannelUnavailable, for calls that change nothing users see."""
    try:
        yield
    except TelegramError as error:
        raise (unavailable(error) or ChannelUnavailable(f"Telegram: {error.message}")) from error
