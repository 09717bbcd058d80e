"""Makes frozen classes of plain values with cattrs, and finds every problem with the path to its value."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from attrs import fields, frozen, has, resolve_types
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override

from nanoclaw.config.errors import ConfigError
from nanoclaw.config.kinds import Items, Kind, Number, OneOf, Place, Switch, Text, Unfit
from nanoclaw.config.origins import KeyPath, NamedTable, Origins, dotted

T = TypeVar("T")
MAX_PROBLEMS = 100
"""An error has no more problems than these."""


@frozen
class Form:
    """The way a kind of file writes keys and values."""

    rename: Callable[[str], str] = str
    """Makes the key of a field from its name."""
    table: str = "a table"
    """The name of what has keys."""
    split: bool = True
    """A list may be a string with commas."""


TOML = Form()

APART = "nanoclaw.apart"
"""Marks, in its metadata, a field that is no key of its table. It has a default."""
_NOT_SHOWN = "; its value is not shown"
BY_ENTRY = "nanoclaw.by_entry"
"""Marks a field that is a table whose keys the user chooses. No variable or flag sets it."""
_ANY_NUMBER = Number(at_least=float("-inf"))
_PLAIN: Mapping[Any, Kind] = {
    str: Text(),
    bool: Switch(),
    int: Number(at_least=float("-inf"), whole=True),
    float: _ANY_NUMBER,
}


@frozen
class Problem:
    """A problem of one value, or of a whole table."""

    path: KeyPath
    text: str
    """The words that follow the key."""


class Misfit(Exception):
    """Values that do not fit their class; it has at most `MAX_PROBLEMS`."""

    def __init__(self, found: Iterable[Problem]) -> None:
        problems = list(islice(found, MAX_PROBLEMS))
        super().__init__("; ".join(f"{dotted(problem.path)} {problem.text}" for problem in problems))
        self.problems = problems


def structure(values: object, cls: type[T], *, base: Path, form: Form = TOML) -> T:
    """Make a value of a class of attrs; a relative path in it is below `base`.

    A field with `repr=False` holds a secret: no error shows its value.

    Raises:
        Misfit: with all problems.
    """
    try:
        return _converter(base, form).structure(values, cls)
    except ClassValidationError as error:
        raise Misfit(_problems(error, (), form.rename)) from None
    except Unfit as error:
        raise Misfit([Problem((), str(error))]) from None


def read_table(table: NamedTable, cls: type[T], *, base: Path, known: tuple[str, ...] = ()) -> T:
    """Make the value of a table whose class its channel or runtime declares, without the keys `known`.

    Raises:
        ConfigError: it does not fit; each line names the file, the line and the whole key.
    """
    values = {key: value for key, value in table.values.items() if key not in known}
    try:
        return structure(values, cls, base=base)
    except Misfit as misfit:
        raise ConfigError(*lines(misfit.problems, table.origins)) from misfit


def lines(problems: list[Problem], origins: Origins) -> Iterator[str]:
    """Yield each problem as one line that begins with the place and the key."""
    for problem in problems:
        yield f"{origins.label(problem.path)} {problem.text}"


def wanted(kind: Any, base: Path = Path()) -> str:
    """Return what a value of a field's type must be, to complete "must be"."""
    known = _annotated(kind) or {**_PLAIN, Path: Place(base)}.get(kind)
    if known is not None:
        return known.wanted
    if _is_literal(kind):
        return OneOf(get_args(kind)).wanted
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return " or ".join(wanted(each, base) for each in get_args(kind) if each is not NoneType)
    if _is_items(kind):
        return f"{Items().wanted}; each {wanted(get_args(kind)[0])}"
    return "a string or a table" if getattr(kind, "SHORT", "") else "a table"


def nearest(key: str, known: list[str]) -> str:
    """Return advice for a key that is not known: the nearest one, else all."""
    match get_close_matches(key, known, n=1):
        case [near]:
            return f"the nearest is {near}"
        case _:
            return f"known are {', '.join(known)}" if known else "this table has no keys"


# -- the converter --------------------------------------------------------------


@lru_cache(maxsize=32)  # making one takes milliseconds
def _converter(base: Path, form: Form) -> Converter:
    made = Converter(detailed_validation=True, forbid_extra_keys=True)
    for plain, kind in {**_PLAIN, Path: Place(base)}.items():
        made.register_structure_hook(plain, partial(_read_plain, kind))
    made.register_structure_hook_func(_is_literal, lambda value, kind: OneOf(get_args(kind)).read(value))
    made.register_structure_hook_factory(
        _is_items, lambda kind, within: _structure_items(kind, within, Items(split=form.split))
    )
    made.register_structure_hook_factory(
        _is_mapping, lambda kind, within: _structure_mapping(kind, within, form)
    )
    made.register_structure_hook_factory(has, lambda cls, within: _structure_table(cls, within, form))
    made.register_structure_hook_func(
        lambda kind: _annotated(kind) is not None, lambda value, kind: _read(_annotated(kind), value)
    )
    return made


def _annotated(kind: object) -> Kind | None:
    if get_origin(kind) is not Annotated:
        return None
    return next((each for each in get_args(kind)[1:] if isinstance(each, Kind)), None)


def _read_plain(kind: Kind, value: object, _type: object) -> object:
    return kind.read(value)


def _read(kind: Kind | None, value: object) -> object:
    return value if kind is None else kind.read(value)


def _is_literal(kind: Any) -> bool:
    return bool(get_origin(kind) == Literal)


def _is_items(kind: object) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[1:] == (...,)


def _structure_items(kind: Any, within: Converter, items: Items) -> Callable[[object, Any], object]:
    as_list: Any = GenericAlias(list, get_args(kind)[:1])
    hook = within.get_structure_hook(as_list)
    return lambda value, _: tuple(hook(items.read(value), as_list))


def _is_mapping(kind: object) -> bool:
    return get_origin(kind) is Mapping


def _structure_mapping(kind: Any, within: Converter, form: Form) -> Callable[[object, Any], object]:
    as_dict: Any = GenericAlias(dict, get_args(kind))
    hook = within.get_structure_hook(as_dict)
    return lambda value, _: hook(_table(value, form), as_dict)


def _structure_table(cls: type, within: Converter, form: Form) -> Callable[[object, Any], object]:
    renamed = {
        each.name: override(rename=form.rename(each.name), omit=each.metadata.get(APART, False))
        for each in fields(resolve_types(cls))
    }
    hook: Callable[[Any, Any], object] = make_dict_structure_fn(
        cls,
        within,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **renamed,  # type: ignore[arg-type]  # names of fields
    )
    short, wanted_ = getattr(cls, "SHORT", ""), getattr(cls, "WANTED", None)
    return lambda value, _: hook(_table(_long(value, short), form, wanted_), cls)


def _long(value: object, short: str) -> object:
    """Return the table that a string stands for, where a class has such a short form."""
    return {short: value} if short and isinstance(value, str) else value


def _table(value: object, form: Form, wanted_: str | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unfit(wanted_ or form.table, value)
    return value


# -- problems -------------------------------------------------------------------


def _problems(error: Exception, path: KeyPath, rename: Callable[[str], str]) -> Iterator[Problem]:
    """Yield every problem in an error of cattrs about the value at `path`."""
    match error:
        case ClassValidationError():
            secret = (
                {each.name for each in fields(error.cl) if each.repr is False} if has(error.cl) else set()
            )
            noted, plain = error.group_exceptions()
            for each, note in noted:
                below = _problems(each, (*path, rename(note.name)), rename)
                yield from map(_hidden, below) if note.name in secret else below
            yield from _all_problems(plain, path, rename)
        case IterableValidationError():
            indexed, plain = error.group_exceptions()
            for each, place in indexed:
                yield from _problems(each, (*path, place.index), rename)
            yield from _all_problems(plain, path, rename)
        case ForbiddenExtraKeysError():
            known = [rename(each.name) for each in fields(error.cl) if APART not in each.metadata]
            for key in sorted(map(str, error.extra_fields)):
                yield Problem((*path, key), f"is not known; {nearest(key, known)}")
        case KeyError():
            yield Problem(path, "is missing")
        case _:
            yield Problem(path, " ".join(str(error).split()) or type(error).__name__)


def _all_problems(errors: list[Exception], path: KeyPath, rename: Callable[[str], str]) -> Iterator[Problem]:
    for each in errors:
        yield from _problems(each, path, rename)


def _hidden(problem: Problem) -> Problem:
    """Return a problem of a secret without its value."""
    text = problem.text.split(", got ")[0].removesuffix(_NOT_SHOWN)  # a secret in a secret
    return Problem(problem.path, text + _NOT_SHOWN)
