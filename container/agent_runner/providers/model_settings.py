"""The settings of a session's model, as the host gives them (`NANOCLAW_MODEL_SETTINGS`). They hold no key."""

from collections.abc import Mapping

from attrs import frozen

from agent_runner.errors import ConfigError

GATEWAY_URL = "http://gateway/model"
"""The first model's address at the gateway. The gateway puts the configured `base_url` in its place."""


@frozen(kw_only=True)
class ModelSettings:
    """One model. Durations are seconds."""

    provider: str = ""
    """The provider that speaks to it."""
    name: str = ""
    """The model's name at its server. Empty: the provider's default."""
    url: str = GATEWAY_URL
    """Its address at the gateway."""
    max_tokens: int = 4096
    """The most tokens of one answer."""
    timeout_s: float = 600.0
    """The longest silence of its server."""
    context_tokens: int = 0
    """The most tokens that a request may have; 0: the provider's guess."""
    max_turn_steps: int = 50
    """The most answers of the model in one turn."""
    fallback: "ModelSettings | None" = None
    """The model that answers while the first is down."""


def model_settings(values: Mapping[str, object]) -> ModelSettings:
    """Read the settings. Unknown keys are ignored, because a newer host may send more. Raises ConfigError."""
    known = {key: value for key, value in values.items() if key in _KINDS and key != "fallback"}
    for key, value in known.items():
        if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise ConfigError(f"NANOCLAW_MODEL_SETTINGS: {key} has a value of the wrong type: {value!r:.80}")
    fallback = values.get("fallback")
    second = model_settings(fallback) if isinstance(fallback, Mapping) else None
    return ModelSettings(**known, fallback=second)  # type: ignore[arg-type]  # their types are checked above


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "provider": str,
    "name": str,
    "url": str,
    "max_tokens": int,
    "timeout_s": (int, float),
    "context_tokens": int,
    "max_turn_steps": int,
    "fallback": Mapping,
}
