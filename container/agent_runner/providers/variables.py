"""Environment variables of a provider, such as the key of its model.

A runner sees only the host's variables that `[runtime] pass_env` names, and those of its `container.json`.
"""

import os
import re

from agent_runner.errors import ProviderError

ADVICE = "name it in [runtime] pass_env of the host's config.toml, and set it where the host starts"
_LIKE_A_VARIABLE = re.compile(
    r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS|URL|ENDPOINT|PROXY|FILE|DIR|REGION)\b"
)

_ADVISED = ("pass_env", "is not set; set it where NanoClaw is started")


def variable(name: str) -> str:
    """Return the value of an environment variable. Raises ProviderError, with advice, if it is not set."""
    value = os.environ.get(name)
    if not value:
        raise ProviderError(f"{name} is not set; {ADVICE}")
    return value


def with_advice(reason: str) -> str:
    """Return the reason of a failure, with advice if it names a variable that is not set.

    A reason that has advice already stays as it is: that of `variable`, or of a host that reads keys itself.
    """
    absent = next((name for name in _LIKE_A_VARIABLE.findall(reason) if name not in os.environ), None)
    if absent is None or any(advice in reason for advice in _ADVISED):
        return reason
    return f"{reason} ({absent} is not set; {ADVICE})"
