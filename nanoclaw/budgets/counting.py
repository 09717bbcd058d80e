"""Makes the amounts of a request to a model from what its server reported. Pure functions.

A server may report anything, so every value is bounded.
"""

from attrs import evolve

from nanoclaw.budgets.prices import Prices, cost
from nanoclaw.gateway.meter import ModelUsage
from nanoclaw.records import Amounts

MOST_AT_ONCE = 10**9
"""The most tokens or tool calls that one request counts."""
LONGEST_NAME = 128
"""Characters of the name of a provider or model."""
MOST_MODELS = 20
"""The models that a session counts apart on one day, so that a server cannot fill the database."""
OTHER = "(other models)"


def amounts_of(usage: ModelUsage, prices: Prices, base_url: str | None) -> Amounts:
    """Return what a request took, with its price. `base_url` is that of the configured model."""
    used = Amounts(
        tool_calls=_bounded(usage.tool_calls),
        input_tokens=_bounded(usage.input_tokens),
        cached_tokens=_bounded(usage.cached_tokens),
        cache_write_tokens=_bounded(usage.cache_write_tokens),
        output_tokens=_bounded(usage.output_tokens),
    )
    price = prices.find(usage.model, usage.base_url or base_url)
    if price is None:
        return evolve(used, unpriced_tokens=used.tokens + used.cached_tokens)
    return evolve(used, micro_dollars=cost(used, price))


def _bounded(value: object) -> int:
    """Return a count. Anything that is not a whole number above 0 counts as 0."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return min(max(number, 0), MOST_AT_ONCE)


def name_of(text: str) -> str:
    """Return a name that can be stored and shown."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST_NAME]) or "?"
