"""References to a function: modules that imported it by name, and classes with it as a field's factory."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from operator import is_
from types import BuiltinMethodType, FunctionType, ModuleType
from typing import Any

from attrs import define, field, frozen

from nanoclaw.testing.world.isolation.callers import GENERATED, LOGGERS, MACHINERY, NOBODY

_SKIPPED = sys.stdlib_module_names | MACHINERY | LOGGERS | NOBODY
_FACTORY_OF_ATTRS = "__attr_factory_"
"""The prefix of the names by which generated code calls factories."""


@frozen(eq=False)
class Held:
    """A place that refers to a function."""

    put: Callable[[Any], None]
    """Replaces the reference."""
    original: Any
    guard: Any


@frozen(eq=False)
class _Searched:
    names: Mapping[str, Any]
    values: Sequence[Any]
    found: Sequence[Held]

    def is_as_it_was(self) -> bool:
        return len(self.values) == len(self.names) and all(map(is_, self.values, self.names.values()))


@define(eq=False)
class Holders:
    """Finds references, and searches a module again only if its names changed since the last world."""

    methods: Sequence[tuple[type, str]]
    """Methods that are replaced in their types. A reference taken earlier keeps the old method."""
    _searched: dict[int, _Searched] = field(factory=dict, init=False)
    """Results of searches, by the `id` of a module's names."""
    _replaced: Mapping[int, Any] = field(factory=dict, init=False)

    def of(self, replaced: Mapping[int, Any]) -> Iterator[Held]:
        """Return the places that refer to replaced functions: guards by the `id` of the original."""
        if replaced != self._replaced:
            self._searched, self._replaced = {}, dict(replaced)
        before, self._searched = self._searched, {}
        for names in _importers():
            known = before.get(id(names))
            if known is None or not known.is_as_it_was():
                known = _Searched(names, tuple(names.values()), tuple(self._search(names)))
            self._searched[id(names)] = known
            yield from known.found

    def _search(self, names: dict[str, Any]) -> Iterator[Held]:
        own = names.get("__name__")
        for key, value in list(names.items()):
            if self._guard(value) is not None:
                yield self._held(partial(names.__setitem__, key), value)
            elif issubclass(type(value), type) and vars(value).get("__module__") == own:
                yield from self._in_factories(vars(value).get("__init__"))

    def _in_factories(self, init: object) -> Iterator[Held]:
        """Yield references in code that attrs or `dataclasses` generated."""
        if not isinstance(init, FunctionType):
            return
        for cell in init.__closure__ or ():
            with suppress(ValueError):  # it is empty
                if self._guard(cell.cell_contents) is not None:
                    yield self._held(partial(setattr, cell, "cell_contents"), cell.cell_contents)
        if init.__code__.co_filename.startswith(GENERATED):
            names = init.__globals__
            for key in [key for key in names if key.startswith(_FACTORY_OF_ATTRS)]:
                if self._guard(names[key]) is not None:
                    yield self._held(partial(names.__setitem__, key), names[key])

    def _held(self, put: Callable[[Any], None], original: object) -> Held:
        return Held(put, original, self._guard(original))

    def _guard(self, value: Any) -> Any:
        found = self._replaced.get(id(value))
        if found is not None or type(value) is not BuiltinMethodType:
            return found
        owner, name = value.__self__, value.__name__
        if isinstance(owner, type) and any(
            issubclass(owner, type_) and name == n for type_, n in self.methods
        ):
            return getattr(owner, name)
        return None


def _importers() -> list[dict[str, Any]]:
    """Yield the names in all modules except those of the standard library and the test machinery."""
    modules = list(sys.modules.items())
    return [vars(each) for name, each in modules if not _is_skipped(name) and isinstance(each, ModuleType)]


@cache
def _is_skipped(name: str) -> bool:
    return name.partition(".")[0] in _SKIPPED
