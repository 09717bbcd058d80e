"""Defers the re-exports of a package, so that its import loads only the modules that are used.

An SDK's `__init__` modules import each class of the SDK, of which a runner uses few. Here, such an import
waits until its name is asked for, if no other statement of the `__init__` has the name. All other statements
run as they are. An `__init__` for which this might change more than the time of an import is run as usual.
So is that of a private sub-package: SDKs import from these to find out whether an optional library is there.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from attrs import field, frozen

Names = dict[str, tuple[str, str]]
"""Where each name is imported from: a module, and a name there. Without that, it is the module itself."""


def defer_reexports(package: str) -> None:
    """Defer the re-exports of a package and its sub-packages, as far as they are not imported yet."""
    if not any(isinstance(finder, _Finder) and finder.package == package for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(package))


@frozen
class _Finder(MetaPathFinder):
    """Finds the modules of a package as usual, and gives its `__init__` modules another loader."""

    package: str

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if (
            spec
            and spec.submodule_search_locations
            and type(spec.loader) is SourceFileLoader
            and "._" not in name
        ):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs an `__init__` without its deferred imports, or all of it if that fails."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            tree, submodules = ast.parse(self.get_data(self.path)), _submodules(self.path)
            init = _split(tree, module.__name__, submodules)
            code = compile(ast.Module(init.statements, []), self.path, "exec", dont_inherit=True)
            _offer(module, init.deferred)
            exec(code, module.__dict__)  # noqa: S102 -- as each import does
        except Exception:  # noqa: BLE001 -- if it is an error of the package, the usual import raises it again
            for name in _HOOKS:
                module.__dict__.pop(name, None)
            super().exec_module(module)


_HOOKS = ("__getattr__", "__dir__")
"""The functions of a module that answer for names which it does not have."""


def _submodules(path: str) -> set[str]:
    """Return the names of the files beside an `__init__`, without their suffixes."""
    return {file.name.partition(".")[0] for file in Path(path).parent.iterdir()}


def _offer(module: ModuleType, deferred: Names) -> None:
    """Let a package import each deferred name, and each submodule, when it is asked for."""

    def get(name: str) -> object:
        if name == "__all__":  # asked by `import *`
            return [name for name in names() if not name.startswith("_")]
        if name in deferred:
            return module.__dict__.setdefault(name, _imported(*deferred[name]))
        submodule = f"{module.__name__}.{name}"
        if find_spec(submodule):  # elsewhere, a deferred import might have loaded it
            return import_module(submodule)
        raise AttributeError(f"module {module.__name__} has no attribute {name!r}", name=name, obj=module)

    def names() -> list[str]:
        return sorted({*module.__dict__, *deferred})

    module.__dict__.update(dict(zip(_HOOKS, (get, names), strict=True)))


def _imported(source: str, name: str) -> object:
    """Return what `from source import name` finds, or the module `source` without a name."""
    return getattr(__import__(source, fromlist=[name]), name) if name else import_module(source)


# -- splitting an `__init__` -------------------------------------------------------


@frozen
class _Init:
    """The statements of an `__init__` that are to be run, and the names that the others import."""

    statements: list[ast.stmt] = field(factory=list)
    deferred: Names = field(factory=dict)


def _split(tree: ast.Module, package: str, submodules: set[str]) -> _Init:
    """Defer the imports of names that no other statement has. Raises ValueError if that may change a name."""
    init, bound = _Init(), Names()
    used = _words(statement for statement in tree.body if not _is_relative(statement))
    for statement in tree.body:
        names = _names(statement, package) if _is_relative(statement) else {}
        if names and not used & names.keys():
            init.deferred.update(names)
        else:
            init.statements.append(statement)
            bound.update(names)
    children = _children(init.deferred, package)
    _check(init.deferred, children, bound, used, submodules)
    init.deferred.update(children)
    return init


def _children(names: Names, package: str) -> Names:
    """Return the submodules that imports of names load. Importing a submodule makes it an attribute."""
    below = f"{package}."
    sources = [source.removeprefix(below) for source, _ in names.values() if source.startswith(below)]
    children = {source.partition(".")[0] for source in sources}
    return {child: (f"{package}.{child}", "") for child in children}


def _check(deferred: Names, children: Names, bound: Names, used: set[str], submodules: set[str]) -> None:
    """Raise ValueError if the order of imports may decide what a name is."""
    doubts = deferred.keys() & bound.keys() | used.intersection(_HOOKS) | children.keys() - submodules
    doubts |= {name for name, (_, attribute) in deferred.items() if attribute and name in submodules}
    doubts |= {name for name in children.keys() & {*used, *bound} if bound.get(name) != children[name]}
    if doubts:
        raise ValueError(f"these names may depend on the order of imports: {doubts}")


def _is_relative(statement: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(statement, ast.ImportFrom) and statement.level > 0


def _words(statements: Iterable[ast.stmt]) -> set[str]:
    """Return all names and strings in statements. Those of `__all__` count only if a statement reads it."""
    lists, others = list[ast.stmt](), list[ast.stmt]()
    for statement in statements:
        (lists if _is_list_of_names(statement) else others).append(statement)
    words = set(_strings(others))
    return words.union(_strings(lists)) if "__all__" in words else words


def _is_list_of_names(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign([ast.Name("__all__")], ast.List() | ast.Tuple()):
            return True
        case _:
            return False


def _strings(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        for node in ast.walk(statement):
            yield from (value for value in vars(node).values() if isinstance(value, str))


def _names(statement: ast.ImportFrom, package: str) -> Names:
    """Return the names that a relative import binds."""
    source = resolve_name("." * statement.level + (statement.module or ""), package)
    if statement.names[0].name == "*":
        return {name: (source, name) for name in _public(import_module(source))}
    if source == package:
        return {alias.asname or alias.name: (f"{package}.{alias.name}", "") for alias in statement.names}
    return {alias.asname or alias.name: (source, alias.name) for alias in statement.names}


def _public(module: ModuleType) -> Sequence[str]:
    """Return the names that `import *` takes."""
    listed: Sequence[str] | None = getattr(module, "__all__", None)
    return listed if listed is not None else [name for name in vars(module) if not name.startswith("_")]
