"""The resolution of a session's models: session, container.json, agent group, configuration."""

import json

from nanoclaw.config.model import FallbackConfig, KeyConfig, ModelConfig, ModelLayer
from nanoclaw.gateway.models import problems, resolve

OWN = KeyConfig(env="OWN_KEY")
OLLAMA = ModelConfig(provider="openai", base_url="http://localhost:11434/v1", name="llama3.2")


def test_a_provider_brings_its_own_server_key_and_model() -> None:
    found = resolve(ModelConfig(provider="anthropic")).first
    assert (found.base_url, found.key) == ("https://api.anthropic.com", KeyConfig(env="ANTHROPIC_API_KEY"))
    assert found.name


def test_the_default_key_is_for_the_provider_s_own_server_alone() -> None:
    assert resolve(OLLAMA).first.key is None
    assert resolve(ModelConfig(provider="openai")).first.key == KeyConfig(env="OPENAI_API_KEY")


def test_a_layer_with_another_provider_takes_neither_name_address_nor_key() -> None:
    config = ModelConfig(provider="openai", base_url="http://x/v1", name="m", key=OWN, max_tokens=7)
    found = resolve(config, [ModelLayer(provider="anthropic")]).first
    assert found.base_url == "https://api.anthropic.com"
    assert (found.name != "m", found.key != OWN, found.max_tokens) == (True, True, 7)


def test_a_layer_with_another_address_does_not_take_the_key() -> None:
    config = ModelConfig(provider="openai", name="m", key=OWN)
    found = resolve(config, [ModelLayer(base_url="http://other/v1")]).first
    assert (found.name, found.key) == ("m", None)


def test_a_layer_with_the_same_provider_keeps_the_rest() -> None:
    found = resolve(OLLAMA, [ModelLayer(provider="openai"), ModelLayer(name="qwen3")]).first
    assert (found.base_url, found.name) == (OLLAMA.base_url, "qwen3")


def test_the_last_layer_wins() -> None:
    layers = [ModelLayer(provider="anthropic"), ModelLayer(), ModelLayer(provider="openai", name="x")]
    assert (resolve(OLLAMA, layers).first.provider, resolve(OLLAMA, layers).first.name) == ("openai", "x")


def test_a_fallback_that_is_a_name_is_on_the_same_server_with_the_same_key() -> None:
    config = ModelConfig(
        provider="openai", base_url="http://x/v1", key=OWN, fallback=FallbackConfig(name="small")
    )
    found = resolve(config).fallback
    assert found is not None
    assert (found.base_url, found.name, found.key) == ("http://x/v1", "small", OWN)


def test_a_fallback_of_another_provider_has_that_provider_s_key() -> None:
    config = ModelConfig(provider="openai", key=OWN, fallback=FallbackConfig(provider="anthropic"))
    found = resolve(config).fallback
    assert found is not None
    assert found.key == KeyConfig(env="ANTHROPIC_API_KEY")


def test_a_fallback_outlives_a_change_of_the_first_model() -> None:
    config = ModelConfig(provider="openai", fallback=FallbackConfig(name="small"))
    found = resolve(config, [ModelLayer(provider="anthropic")])
    assert (found.first.provider, found.fallback and found.fallback.name) == ("anthropic", "small")


def test_a_fallback_that_is_the_first_model_is_none_and_is_reported() -> None:
    config = ModelConfig(provider="openai", name="m", fallback=FallbackConfig(name="m"))
    assert resolve(config).fallback is None
    assert [path for path, _ in problems(config)] == [("fallback",)]


def test_echo_needs_no_gateway() -> None:
    assert not resolve(ModelConfig()).served
    assert resolve(ModelConfig(), [ModelLayer(provider="openai")]).served


def test_the_runner_s_settings_have_no_key_and_no_address_of_a_server() -> None:
    config = ModelConfig(
        provider="openai", base_url="http://x/v1", key=OWN, fallback=FallbackConfig(provider="anthropic")
    )
    settings = json.dumps(resolve(config).settings(50))
    assert "OWN_KEY" not in settings
    assert "http://x" not in settings
    assert json.loads(settings)["fallback"]["url"] == "http://gateway/fallback"
    assert json.loads(settings)["max_turn_steps"] == 50
