"""The SDKs of providers: whether each is installed."""

import sys
from importlib.util import find_spec

from attrs import frozen

_MODULES = {"anthropic": "anthropic", "openai": "openai", "claude": "claude_agent_sdk"}


@frozen
class MissingSdk:
    """An SDK that is not installed."""

    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}"


def missing_sdk(provider: str) -> MissingSdk | None:
    """Return what to install for a provider; None if it is there."""
    module = _MODULES.get(provider)
    if module is None or find_spec(module) is not None:
        return None
    command = f"{sys.executable} -m pip install 'nanoclaw[{provider}]'"
    return MissingSdk(f"the SDK of the provider {provider} is not installed", f"`{command}`")
