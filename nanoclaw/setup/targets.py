"""A model that may be written to the configuration, and the place of its key."""

from pathlib import Path

from attrs import field, frozen

from nanoclaw.config.tables import KeyConfig


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
        """False for a provider that needs no model."""
        return self.provider in WIRES


WIRES = {"anthropic": "anthropic", "claude": "anthropic", "openai": "openai"}
"""The providers that speak to a model server, each with the wire format that it speaks."""
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
    key = target.key
    if target.typed is not None:
        return "key in a file"
    if key is None:
        return "no key"
    if key.env is not None:
        return f"key in {key.env}"
    if key.file is not None:
        file = key.file.relative_to(home) if key.file.is_relative_to(home) else key.file
        return f"key in {file}"
    return f"key from `{' '.join(key.command)}`"
