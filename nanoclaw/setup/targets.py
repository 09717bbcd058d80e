"""A model that may be written to the configuration, and the place of its key."""

from pathlib import Path

from attrs import field, frozen

from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway.providers import KNOWN, Wire


@frozen
class Target:
    """A model, its server and the place of its key."""

    provider: str
    name: str | None = None
    """The model's name at its server; None if it is not chosen yet."""
    base_url: str | None = None
    """The address of its server; None stands for the provider's own."""
    key: KeyConfig | None = None
    """The place of the key; None: it has none, or it is `typed`."""
    typed: str | None = field(default=None, repr=False)
    """A key that a person typed. Saving writes it to a file of its own."""

    @property
    def has_model(self) -> bool:
        """True if the provider is known to ask a model's server."""
        return self.wire is not None

    @property
    def wire(self) -> Wire | None:
        """The interface of the model's server; None if the provider is not known, or asks no server."""
        known = KNOWN.get(self.provider)
        return known.routes[0].wire if known is not None and known.routes else None


ECHO = Target("echo")


@frozen
class Offer:
    """A target that was found, for people."""

    target: Target
    label: str
    """The server's name and place."""
    cost: str
    models: tuple[str, ...] = ()
    """The models of the server, the best guess first; empty if they are not known."""

    @property
    def words(self) -> str:
        """The offer on one line."""
        return f"{self.target.name or 'a model'} of {self.label}; {self.cost}"


def key_words(target: Target, home: Path) -> str:
    """Return where the key is, for people."""
    return "no key" if target.key is None else f"key: {target.key}".replace(f"{home}/", "")
