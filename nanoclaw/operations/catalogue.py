"""All operations by name: those that come with NanoClaw, and those of installed packages.

A package adds a noun by an entry point of the group `nanoclaw.operations` that names a subclass of `Noun`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points

from attrs import frozen

from nanoclaw.config.nearest import nearest
from nanoclaw.operations.admin import NOUNS
from nanoclaw.operations.declaration import Operation, operations_of
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.references import quoted

GROUP = "nanoclaw.operations"


class BadNoun(Exception):
    """An installed package offers something that is not a valid noun. The text names it."""


@frozen(slots=False)
class Catalogue:
    """The list of operations."""

    nouns: Mapping[str, type[Noun]]

    @classmethod
    def of(cls, nouns: Iterable[type[Noun]]) -> "Catalogue":
        """Return a list of these nouns.

        Raises:
            BadNoun: two have the same name, one has none, or a declaration lacks something.
        """
        found = dict[str, type[Noun]]()
        for noun in nouns:
            if not noun.name.isidentifier() or noun.name in found:
                raise BadNoun(f"{noun.__module__}.{noun.__name__}: the noun {noun.name!r} cannot be added")
            found[noun.name] = noun
            try:
                list(operations_of(noun))
            except TypeError as error:
                raise BadNoun(f"{noun.__module__}.{noun.__name__}: {error}") from error
        return cls(found)

    @classmethod
    def installed(cls) -> "Catalogue":
        """Return the list of NanoClaw's own nouns and those of installed packages.

        Raises:
            BadNoun: a package's cannot be loaded or added.
        """
        return cls.of([*NOUNS, *_offered()])

    def of_noun(self, name: str) -> Iterator[Operation]:
        """Return the operations of a noun, in order."""
        return operations_of(self.nouns[name])

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """All operations by name, in order."""
        return {each.name: each for name in self.nouns for each in self.of_noun(name)}

    def operation(self, name: str) -> Operation:
        """Find the operation of that name.

        Raises:
            BadArguments: there is none; the text suggests the nearest.
        """
        found = self.operations.get(name)
        if found is None:
            raise BadArguments(f"there is no operation {quoted(name)}{nearest(name, self.operations)}")
        return found


def _offered() -> Iterator[type[Noun]]:
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            noun = point.load()
        except Exception as error:  # a third-party package may raise anything
            raise BadNoun(f"the entry point {GROUP}:{point.name} ({point.value}) fails: {error!r}") from error
        if not (isinstance(noun, type) and issubclass(noun, Noun)):
            raise BadNoun(f"the entry point {GROUP}:{point.name} ({point.value}) names no subclass of Noun")
        yield noun
