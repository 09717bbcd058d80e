"""The SDKs of providers: whether each is installed."""

import sys
from importlib.util import find_spec

from attrs import frozen

from nanoclaw.gateway.providers import known_provider


@frozen
class MissingSdk:
    """An SDK that is not installed."""

    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}"


def missing_sdk(provider: str) -> MissingSdk | None:
    """Return what to install for a provider; None if it is there."""
    known = known_provider(provider)
    if known.module is None or find_spec(known.module) is not None:
        return None
    command = f"{sys.executable} -m pip install 'nanoclaw[{known.extra}]'"
    return MissingSdk(f"the SDK of the provider {provider} is not installed", f"`{command}`")
