"""The results of a delivery attempt, and the rules for the next one (contract 4)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isnan

from attrs import frozen

from nanoclaw.records import Receipt
from nanoclaw.session.queue import Delivery
from nanoclaw.session.rules import Rules
from nanoclaw.store.session.deliveries import IN_DOUBT

MIN_HOLD_S = 0.2
"""Shortest delay in seconds of a delivery that is held."""
MAX_RETRY_AFTER_S = 86_400.0
"""Limit in seconds of the delay that a channel may ask for."""


@frozen
class Delivered:
    """The row was delivered. The receipt proves it."""

    receipt: Receipt


@frozen
class Undeliverable:
    """The row will never be delivered. If `doubtful`, it may have arrived."""

    reason: str
    doubtful: bool = False


@frozen
class DeliveryRefused(Undeliverable):
    """The row breaks the contract. The fault is the runner's, not the channel's."""


@frozen
class Later:
    """Nothing was sent. If `asked`, the receiver was asked, so this counts as an attempt."""

    reason: str
    not_before: datetime
    asked: bool = True


@frozen
class Held:
    """The row was shown to nobody, because nobody attends. It waits for `Attended`, possibly for weeks."""

    reason: str


@frozen
class Unknown:
    """The row may have been sent. It is sent again at `not_before`."""

    reason: str
    not_before: datetime


@frozen
class Performed:
    """The host has answered the agent's request. `error` says why it was refused."""

    action: str
    result: Mapping[str, object]
    error: str | None = None


Final = Delivered | Undeliverable | Performed
Result = Final | Later | Held | Unknown


def hold(delivery: Delivery, reason: str, now: datetime, rules: Rules, retry_after: object = None) -> Later:
    """Hold a row whose receiver is not available yet, without a limit of time.

    `retry_after` is the wish of the receiver in seconds, if it has one.
    """
    delay_s = max(MIN_HOLD_S, _wished(retry_after, delay(delivery.held + 1, rules)))
    return Later(reason, now + timedelta(seconds=delay_s), asked=False)


def back_off(
    delivery: Delivery, reason: str, now: datetime, rules: Rules, retry_after: object = None
) -> Result:
    """Return the result for a row that its channel cannot take now. `retry_after` is the channel's wish."""
    if delivery.attempts > len(rules.delivery_backoff_s):
        return Undeliverable(f"given up after {delivery.attempts} attempts: {reason}")
    delay_s = _wished(retry_after, delay(delivery.attempts, rules))
    return Later(reason, now + timedelta(seconds=delay_s))


def _wished(retry_after: object, otherwise: float) -> float:
    """Return the delay that a receiver asks for, within its bounds, or the other one."""
    if isinstance(retry_after, int | float) and not isnan(retry_after):
        return min(max(retry_after, 0.0), MAX_RETRY_AFTER_S)
    return otherwise


def delay(attempts: int, rules: Rules) -> float:
    """Return the delay in seconds after this number of attempts."""
    schedule = rules.delivery_backoff_s
    return schedule[min(attempts, len(schedule)) - 1] if schedule else 0.0


def doubt(delivery: Delivery, reason: str, again_at: datetime, rules: Rules) -> Result:
    """Return the result of an attempt with unknown outcome. The receiver's policy decides about a repeat."""
    if delivery.repeatable:
        return Later(reason, again_at)
    address = delivery.address or rules.chat
    repeat = rules.repeat(address.channel_type) if address else "again"
    limit = {"never": 0, "again": 1}.get(repeat, len(rules.delivery_backoff_s))
    if delivery.doubts >= limit:
        unknown = f"{IN_DOUBT}, after {delivery.attempts} attempts: {reason}"
        return Undeliverable(unknown, doubtful=True)
    return Unknown(reason, again_at)
