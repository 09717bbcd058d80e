"""What setup and doctor say of a provider whose SDK is not installed."""

import sys

from attrs import frozen

from nanoclaw.gateway.providers import missing_extra


@frozen
class MissingSdk:
    """An SDK that is not installed."""

    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}"


def missing_sdk(provider: str) -> MissingSdk | None:
    """Return what to install for a provider; None if nothing is missing."""
    extra = missing_extra(provider)
    if extra is None:
        return None
    command = f"{sys.executable} -m pip install 'nanoclaw[{extra}]'"
    return MissingSdk(f"the SDK of the provider {provider} is not installed", f"`{command}`")
