"""The settings of models: the table `[model]`, the object `model` of `container.json`, and places of keys."""

import re
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from attrs import field, fields, frozen

from nanoclaw.config.kinds import Command, Name, Number, Unfit

Tokens = Annotated[int, Number(at_least=1, whole=True)]
Silence = Annotated[float, Number(at_least=1)]
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@frozen
class VariableName:
    """The name of an environment variable, in capitals: a key that was put here by mistake is refused."""

    wanted: str = "the name of an environment variable, in capitals"

    def read(self, value: object) -> str:
        """Return the name."""
        if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
            raise Unfit(self.wanted, value)
        return value


@frozen
class Address:
    """The address of a model's server. It has no user and no query, since errors show it."""

    wanted: str = "an address such as https://api.example.com/v1, without a user, `?` and `#`"

    def read(self, value: object) -> str:
        """Return the address without a slash at its end."""
        if not isinstance(value, str) or not _is_address(value):
            hidden = isinstance(value, str) and set(value) & set("@?#")  # it may have a password or a key
            raise Unfit(self.wanted, "(not shown)" if hidden else value)
        return value.rstrip("/")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & set(" @?#\\\"'<>")
    return named and plain and parts.scheme in {"http", "https"}


@frozen
class KeyConfig:
    """The place of a model's key: one of the three. It is read at each use, and no agent ever sees it."""

    WANTED: ClassVar = (
        'a table such as { env = "MY_KEY" } or { file = "path" }; the key itself has no place here'
    )

    # No error shows what was written here, in case it is the key itself.
    env: Annotated[str, VariableName()] | None = field(default=None, repr=False)
    """The environment variable of the host that holds it."""
    file: Path | None = field(default=None, repr=False)
    """The file that holds it and nothing else."""
    command: Command = field(default=(), repr=False)
    """The command that prints it. It is started without a shell."""

    def __attrs_post_init__(self) -> None:
        """Require exactly one place."""
        if sum(map(bool, (self.env, self.file, self.command))) != 1:
            raise ValueError("must have exactly one of env, file and command")

    def __str__(self) -> str:
        """Return the place in words. Of a command only the program is shown."""
        if self.env:
            return f"the environment variable {self.env}"
        return f"the file {self.file}" if self.file else f"the command {self.command[0]!r}"


@frozen
class FallbackConfig:
    """The model that answers while the first one is down. What is left out is as for the first."""

    SHORT: ClassVar = "name"
    """A string in the place of the table stands for the value of this key."""

    provider: Name | None = None
    """The provider that speaks to it."""
    name: Name | None = None
    """Its name at its server."""
    base_url: Annotated[str, Address()] | None = None
    """The address of its server."""
    key: KeyConfig | None = field(default=None, repr=False)
    """The place of its key."""
    max_tokens: Tokens | None = None
    """The most tokens of one answer."""
    timeout_s: Silence | None = None
    """The longest silence of its server."""

    def __str__(self) -> str:
        """Return the keys that are given, as TOML has them in one line."""
        given = {each.name: getattr(self, each.name) for each in fields(type(self))}
        return f"{{ {', '.join(f'{name} = {value}' for name, value in given.items() if value is not None)} }}"


@frozen
class ModelLayer(FallbackConfig):
    """A model of `container.json`. What is left out is as for the configuration's."""

    SHORT: ClassVar = ""

    fallback: FallbackConfig | None = None
    """The second model: an object of these keys, or only its name."""


@frozen
class ModelConfig:
    """The model that answers."""

    provider: Name = "echo"
    """The provider of agents and sessions that have none of their own."""
    name: Name | None = None
    """The model's name at its server. Left out, the provider's default."""
    base_url: Annotated[str, Address()] | None = None
    """The address of the model's server. Left out, the provider's own."""
    key: KeyConfig | None = field(default=None, repr=False)
    """The place of the key: `{ env = "NAME" }`, `{ file = "path" }` or `{ command = ["…"] }`."""
    max_tokens: Tokens = 4096
    """The most tokens of one answer."""
    timeout_s: Silence = 600.0
    """The longest silence of the model's server."""
    fallback: FallbackConfig | None = None
    """The second model: a table of these keys, or only its name."""
