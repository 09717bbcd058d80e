"""The models of a session: the first, and its fallback. They are resolved from the layers of the settings."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, field, frozen

from nanoclaw.config.model import FallbackConfig, KeyConfig, ModelConfig, ModelLayer
from nanoclaw.gateway.providers import KNOWN, known_provider

GATEWAY_URL = "http://gateway"
FIRST, FALLBACK = "model", "fallback"
"""The first parts of paths at the gateway."""


@frozen
class Model:
    """One model, ready to be asked."""

    provider: str
    name: str
    """Its name at its server; empty if it is not known."""
    base_url: str | None
    """The address of its server. None if the provider asks no server."""
    key: KeyConfig | None = field(repr=False)
    """The place of its key. None if its server needs none."""
    max_tokens: int
    timeout_s: float


@frozen
class SessionModels:
    """The models that a session may ask."""

    first: Model
    fallback: Model | None = None

    @property
    def served(self) -> bool:
        """True if one of them has a server, so that the session needs the gateway."""
        return any(each.base_url is not None for each in self.each())

    @property
    def key_variables(self) -> frozenset[str]:
        """The environment variables that hold keys. No runner is given them."""
        return frozenset(each.key.env for each in self.each() if each.key is not None and each.key.env)

    def settings(self, max_turn_steps: int) -> Mapping[str, object]:
        """Return the runner's settings (contract 1). They have no key, and no address but the gateway's."""
        second = None if self.fallback is None else _settings(self.fallback, FALLBACK)
        more = {} if second is None else {"fallback": second}
        return {**_settings(self.first, FIRST), "max_turn_steps": max_turn_steps, **more}

    def each(self) -> Iterator[Model]:
        """Yield them."""
        yield self.first
        if self.fallback is not None:
            yield self.fallback


def _settings(model: Model, path: str) -> Mapping[str, object]:
    return {
        "provider": model.provider,
        "name": model.name,
        "url": f"{GATEWAY_URL}/{path}",
        "max_tokens": model.max_tokens,
        "timeout_s": model.timeout_s,
    }


def resolve(config: ModelConfig, layers: Iterable[ModelLayer] = ()) -> SessionModels:
    """Return the models of a session: the configuration's, changed by `layers`, the last of which wins.

    A layer that names another provider takes neither name, address nor key from the layers below. A layer
    that names another address does not take the key: it belongs to another server.
    """
    first = Model(
        config.provider, config.name or "", config.base_url, config.key, config.max_tokens, config.timeout_s
    )
    fallback = None if config.fallback is None else _over(first, config.fallback)
    for layer in layers:
        first = _over(first, layer)
        if layer.fallback is not None:
            fallback = _over(first, layer.fallback)
    found, second = _completed(first), fallback and _completed(fallback)
    return SessionModels(found, None if second is None or same_model(found, second) else second)


def same_model(one: Model, other: Model) -> bool:
    """Return True if both are the same model of the same server."""
    return (one.provider, one.name, one.base_url) == (other.provider, other.name, other.base_url)


def _over(below: Model, layer: FallbackConfig) -> Model:
    other = layer.provider not in {None, below.provider}
    moved = other or layer.base_url not in {None, below.base_url}
    return Model(
        layer.provider or below.provider,
        layer.name or ("" if other else below.name),
        layer.base_url or (None if other else below.base_url),
        layer.key or (None if moved else below.key),
        layer.max_tokens or below.max_tokens,
        layer.timeout_s or below.timeout_s,
    )


def _completed(model: Model) -> Model:
    """Return a model with its provider's defaults. The default key is sent to the provider's server alone."""
    known = known_provider(model.provider)
    address = model.base_url or known.base_url
    if not known.routes:
        address = None
    key = model.key
    if key is None and known.key_env is not None and address == known.base_url:
        key = KeyConfig(env=known.key_env)
    return evolve(model, base_url=address, key=key, name=model.name or known.model)


def key_variables(config: ModelConfig, layers: Iterable[ModelLayer] = ()) -> frozenset[str]:
    """Return the environment variables that hold the keys of models. No runner is given them."""
    return resolve(config, layers).key_variables


def problems(config: ModelConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find settings of `[model]` that cannot work. Yield the path below the table, and the problem."""
    first = resolve(evolve(config, fallback=None)).first
    yield from _problems_of(first, (), asked=config.base_url is not None)
    if config.fallback is None:
        return
    second = _completed(_over(first, config.fallback))
    if same_model(first, second):
        yield ("fallback",), "is the first model again; name another model or another server"
    yield from _problems_of(second, ("fallback",), asked=config.fallback.base_url is not None)


def _problems_of(model: Model, at: tuple[str, ...], *, asked: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    if model.provider in KNOWN and not KNOWN[model.provider].routes:
        if asked:
            yield (*at, "base_url"), f"has no use: the provider {model.provider!r} asks no server; remove it"
    elif model.provider in KNOWN and model.name == "":
        yield (*at, "name"), f"is missing: the provider {model.provider!r} needs the name of a model"
