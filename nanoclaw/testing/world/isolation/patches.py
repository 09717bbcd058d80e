"""Functions replaced in their modules, in their classes, and in modules that imported them by name."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType
from typing import Any

from attrs import Factory, define, field

from nanoclaw.testing.world.isolation.references import Holders
from nanoclaw.testing.world.isolation.targets import Target
from nanoclaw.testing.world.per_thread import Shared

Guard = Callable[..., Any]


@define(eq=False)
class Patches:
    """The replaced functions of the process. Worlds in two threads share them; the last one restores them."""

    targets: tuple[Target, ...]
    guarded: Callable[[Target, Guard], Guard]
    """Makes a guard from a target and the function in its place, which becomes `__wrapped__`."""
    methods: Mapping[tuple[type, str], Any]
    """Replacements for methods of types that are written in C."""
    _guards: dict[tuple[Any, str], Guard] = field(factory=dict, init=False)
    _holders: Holders = field(
        default=Factory(lambda it: Holders(tuple(it.methods)), takes_self=True), init=False
    )
    _shared: Shared = field(default=Factory(lambda self: Shared(self._apply), takes_self=True), init=False)

    def applied(self) -> AbstractContextManager[None]:
        """Apply the patches while the block runs."""
        return self._shared.used()

    def _apply(self, stack: ExitStack) -> None:
        imported = dict[int, Guard]()
        for target in self.targets:
            original = getattr(target.owner, target.name)
            guard = self._guard(target, original)
            stack.callback(setattr, target.owner, target.name, original)
            setattr(target.owner, target.name, guard)
            if isinstance(target.owner, ModuleType):
                imported[id(original)] = guard
        for (type_, name), method in self.methods.items():
            stack.enter_context(_replaced_in_type(type_, name, method))
        for held in self._holders.of(imported):
            held.put(held.guard)
            stack.callback(held.put, held.original)

    def _guard(self, target: Target, original: Guard) -> Guard:
        """Return the guard of a function. All worlds share it, unless the function was replaced."""
        key = (target.owner, target.name)
        found = self._guards.get(key)
        if found is None or found.__wrapped__ is not original:  # type: ignore[attr-defined]  # as promised
            found = self._guards[key] = self.guarded(target, original)
        return found


@contextmanager
def _replaced_in_type(type_: type, name: str, value: object) -> Iterator[None]:
    """Replace a method of a type written in C: CPython keeps its methods in an ordinary dictionary."""
    if sys.implementation.name != "cpython":
        yield
        return
    names: dict[str, Any] = gc.get_referents(type_.__dict__)[0]
    original = names[name]
    names[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(type_))
    try:
        yield
    finally:
        names[name] = original
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(type_))
