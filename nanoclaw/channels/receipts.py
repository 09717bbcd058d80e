"""Reads the receipts and delays of channels. They are foreign code, so the values may have any type."""

from typing import cast, get_args

from actors import Refusal
from nanoclaw.channels.protocol import ChannelUnavailable, Condition
from nanoclaw.records import Receipt
from nanoclaw.records.content import storable
from nanoclaw.system.foreign import text_of

CONDITIONS = get_args(Condition)


def read_receipt(returned: object) -> tuple[Receipt, str | None]:
    """Return the receipt of a delivery that returned normally, and what is wrong with it, if anything.

    Such a delivery has succeeded, whatever it returned: a channel that forgets its receipt must not be asked
    to send the message again. A number is taken as the platform's id.
    """
    if not isinstance(returned, Receipt):
        what = "None" if returned is None else f"a {type(returned).__name__}"
        return Receipt(None), f"returned {what} instead of a Receipt"
    id_: object = returned.platform_message_id
    if id_ is None or isinstance(id_, str):
        return storable(returned), None
    if isinstance(id_, int) and not isinstance(id_, bool):
        return Receipt(str(id_)), None
    return Receipt(None), f"returned a Receipt whose id is a {type(id_).__name__} instead of a text"


def unavailable(error: Refusal) -> ChannelUnavailable:
    """Return a copy of a channel's refusal with safe values. It may be of a class of the channel's own."""
    if not isinstance(error, ChannelUnavailable):
        return ChannelUnavailable(text_of(error))
    condition: object = getattr(error, "condition", None)
    known = cast("Condition", condition) if condition in CONDITIONS else "down"
    return ChannelUnavailable(text_of(error), retry_after(error), condition=known)


def retry_after(error: ChannelUnavailable) -> float | None:
    """Return the delay in seconds that a channel asks for, if it is a number. Its size is not checked."""
    try:
        asked: object = error.retry_after
    except Exception:  # noqa: BLE001 -- a subclass may lack it, or compute it
        return None
    return asked if isinstance(asked, int | float) and not isinstance(asked, bool) else None
