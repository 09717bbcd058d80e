"""What models cost. Pure functions.

A price in dollars for a million tokens is also one in micro-dollars a token.
"""

import ipaddress
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from urllib.parse import urlsplit

from attrs import frozen

from nanoclaw.config.costs import PriceConfig
from nanoclaw.records import Amounts

# The built-in prices are of November 2025. They change: a provider's page has the present ones.
_CLAUDE = {
    "claude-opus-4-5": (5.0, 25.0, 0.5, 6.25),
    "claude-opus-4-1": (15.0, 75.0, 1.5, 18.75),
    "claude-opus-4": (15.0, 75.0, 1.5, 18.75),
    "claude-sonnet-4-5": (3.0, 15.0, 0.3, 3.75),
    "claude-sonnet-4": (3.0, 15.0, 0.3, 3.75),
    "claude-3-7-sonnet": (3.0, 15.0, 0.3, 3.75),
    "claude-haiku-4-5": (1.0, 5.0, 0.1, 1.25),
    "claude-3-5-haiku": (0.8, 4.0, 0.08, 1.0),
    "claude-3-haiku": (0.25, 1.25, 0.03, 0.3),
}
_OPENAI = {
    "gpt-5.1": (1.25, 10.0, 0.125, None),
    "gpt-5": (1.25, 10.0, 0.125, None),
    "gpt-5-mini": (0.25, 2.0, 0.025, None),
    "gpt-5-nano": (0.05, 0.4, 0.005, None),
    "gpt-4.1": (2.0, 8.0, 0.5, None),
    "gpt-4.1-mini": (0.4, 1.6, 0.1, None),
    "gpt-4.1-nano": (0.1, 0.4, 0.025, None),
    "gpt-4o": (2.5, 10.0, 1.25, None),
    "gpt-4o-mini": (0.15, 0.6, 0.075, None),
    "o3": (2.0, 8.0, 0.5, None),
    "o4-mini": (1.1, 4.4, 0.275, None),
}
BUILT_IN: Mapping[str, PriceConfig] = {
    name: PriceConfig(*price) for name, price in {**_CLAUDE, **_OPENAI}.items()
}
_FREE = PriceConfig(0.0, 0.0)
_DATED = re.compile(r"([-@:](\d{8}|\d{4}-\d{2}-\d{2}|latest|0)(-v\d.*)?)?")
"""What may follow the name of a model in the built-in table. Anything else is another model."""


@frozen
class Prices:
    """The prices of models: those of the configuration, then the built-in ones."""

    configured: Mapping[str, PriceConfig]

    def find(self, model: str, base_url: str | None) -> PriceConfig | None:
        """Return the price of a model, or None if it is not known.

        A name of the configuration also means longer names that begin with it; the longest counts. A model
        whose server is on a loopback or private address is free, unless the configuration has its price.
        """
        own = _longest(self.configured, model)
        if own is not None:
            return own
        if base_url is not None and is_near(base_url):
            return _FREE
        name = _plain(model)
        fitting = (each for each in BUILT_IN if name.startswith(_plain(each)))
        found = max(fitting, key=len, default=None)
        if found is None or _DATED.fullmatch(name.removeprefix(_plain(found))) is None:
            return None
        return BUILT_IN[found]


def _longest(prices: Mapping[str, PriceConfig], model: str) -> PriceConfig | None:
    found = max((name for name in prices if model.startswith(name)), key=len, default=None)
    return None if found is None else prices[found]


def _plain(model: str) -> str:
    """Return a name without its vendor, such as `anthropic/`, and with one way to write versions."""
    return model.rpartition("/")[2].lower().replace(".", "-")


def is_near(base_url: str) -> bool:
    """Return True if a server is on a loopback, private or link-local address, or a name without a dot."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".localhost", ".local", ".internal")))


def cost(used: Amounts, price: PriceConfig) -> int:
    """Return the price of the tokens in micro-dollars, rounded up."""
    cached = price.input if price.cached_input is None else price.cached_input
    written = price.input if price.cache_write is None else price.cache_write
    parts = (
        (used.input_tokens, price.input),
        (used.cached_tokens, cached),
        (used.cache_write_tokens, written),
        (used.output_tokens, price.output),
    )
    total = sum((Decimal(tokens) * Decimal(repr(each)) for tokens, each in parts), Decimal(0))
    return int(total.to_integral_value(ROUND_CEILING))
