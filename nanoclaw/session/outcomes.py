"""The results of an attempt to deliver one outbound row, and what follows from them (contract 4)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isnan

from attrs import frozen

from nanoclaw.records import Receipt
from nanoclaw.session.queue import Delivery
from nanoclaw.session.rules import Rules

LEAST_HOLD_S = 0.2
"""The shortest pause between looks for a place to deliver to."""
LONGEST_RETRY_S = 86_400.0
"""A channel that asks for a longer pause is not believed."""


@frozen
class Delivered:
    """The row has arrived; the receipt proves it."""

    receipt: Receipt


@frozen
class Undeliverable:
    """The row will never be delivered; where that is `doubtful`, it may have been."""

    reason: str
    doubtful: bool = False


@frozen
class DeliveryRefused(Undeliverable):
    """The row breaks the contract: the runner is to blame, not the channel."""


@frozen
class Later:
    """Nothing was sent. `asked`: the receiver itself said so, and is not asked for ever."""

    reason: str
    not_before: datetime
    asked: bool = True


@frozen
class Unknown:
    """The row may have been sent; it is sent again at `not_before`."""

    reason: str
    not_before: datetime


@frozen
class Performed:
    """The host has answered a request of the agent; `error` says why it was refused."""

    action: str
    result: Mapping[str, object]
    error: str | None = None


Final = Delivered | Undeliverable | Performed
Result = Final | Later | Unknown


def hold(delivery: Delivery, reason: str, now: datetime, rules: Rules) -> Later:
    """Let a row that has nowhere to go yet wait for that, however long."""
    delay_s = max(LEAST_HOLD_S, delay(delivery.held + 1, rules))
    return Later(reason, now + timedelta(seconds=delay_s), asked=False)


def back_off(delivery: Delivery, reason: str, retry_after: object, now: datetime, rules: Rules) -> Result:
    """Decide about a row that its channel cannot take now; `retry_after` is what the channel asks for."""
    if delivery.attempts > len(rules.delivery_backoff_s):
        return Undeliverable(f"given up after {delivery.attempts} attempts: {reason}")
    delay_s = delay(delivery.attempts, rules)
    if isinstance(retry_after, int | float) and not isnan(retry_after):
        delay_s = min(max(retry_after, 0.0), LONGEST_RETRY_S)
    return Later(reason, now + timedelta(seconds=delay_s))


def delay(attempts: int, rules: Rules) -> float:
    """Return the pause after so many attempts, in seconds."""
    schedule = rules.delivery_backoff_s
    return schedule[min(attempts, len(schedule)) - 1] if schedule else 0.0


def doubt(delivery: Delivery, reason: str, again_at: datetime, rules: Rules) -> Result:
    """Decide about an attempt of unknown outcome: repeat it, where the policy of its receiver allows that."""
    if delivery.repeatable:
        return Later(reason, again_at)
    address = delivery.address or rules.chat
    repeat = rules.repeat(address.channel_type) if address else "again"
    limit = {"never": 0, "again": 1}.get(repeat, len(rules.delivery_backoff_s))
    if delivery.doubts >= limit:
        unknown = f"unknown whether it was sent, after {delivery.attempts} attempts: {reason}"
        return Undeliverable(unknown, doubtful=True)
    return Unknown(reason, again_at)
