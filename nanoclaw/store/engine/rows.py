"""Converts records to rows and back: times as text, booleans as integers, mappings and sequences as JSON.

Before a row is written, it is converted back in memory. So every stored row can be read.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast, get_args, get_origin

import apsw
import cattrs
from attrs import evolve, fields

from actors import Refusal
from nanoclaw.store.engine.errors import NotAllowed, NotFound
from nanoclaw.store.engine.times import from_text, to_text

T = TypeVar("T")
P = ParamSpec("P")


def _is_mapping(type_: object) -> bool:
    return get_origin(type_) is Mapping


def _is_sequence(type_: object) -> bool:
    return get_origin(type_) is Sequence


_ROWS = cattrs.Converter()
_ROWS.register_structure_hook(datetime, lambda text, _: from_text(text))
_ROWS.register_unstructure_hook(datetime, to_text)
_ROWS.register_unstructure_hook(bool, int)
_ROWS.register_structure_hook_func(_is_mapping, lambda text, _: json.loads(text) if text else {})
_ROWS.register_unstructure_hook_func(_is_mapping, lambda rules: json.dumps(dict(rules)))
_ROWS.register_structure_hook_func(_is_sequence, lambda text, _: tuple(json.loads(text)) if text else ())
_ROWS.register_unstructure_hook_func(_is_sequence, lambda items: json.dumps(list(items)))


class DamagedRow(Refusal):
    """A row of the central database does not fit its record. The text names the field.

    `kind` is the name of the record, `id` the value of its first field.
    """

    def __init__(self, kind: str, id_: str, reason: str) -> None:
        super().__init__(f"{kind} {id_!r:.140} in v2.db is damaged: {reason}; correct that row or delete it")
        self.kind, self.id, self.reason = kind, id_, reason


def values(record: object) -> "dict[str, apsw.SQLiteValue]":
    """Return a record's fields as named parameters.

    Raises:
        NotAllowed: a field has a value that could not be read back.
    """
    cls = type(record)
    try:
        found = cast("dict[str, apsw.SQLiteValue]", _ROWS.unstructure(record))
        _ROWS.structure(found, cls)
        for value in found.values():
            if isinstance(value, str):
                value.encode()  # raises for a lone surrogate, which SQLite cannot store
    except cattrs.ClassValidationError as error:
        raise NotAllowed("; ".join(cattrs.transform_error(error, path=cls.__name__))) from error
    except (ValueError, TypeError) as error:
        raise NotAllowed(f"{cls.__name__}: {error}") from error
    return found


def record(cls: type[T], row: Iterable[object]) -> T:
    """Return the record of a row. The columns are the record's fields, in their order.

    Raises:
        DamagedRow: a column does not fit its field.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is an attrs class everywhere
    found = dict(zip(names, row, strict=True))
    try:
        return _ROWS.structure(found, cls)
    except cattrs.ClassValidationError as error:
        reasons = "; ".join(_misfits(error, found))
        raise DamagedRow(cls.__name__, str(found[names[0]]), reasons) from error


def _misfits(error: cattrs.ClassValidationError, found: Mapping[str, object]) -> Iterator[str]:
    """Yield, for each column that does not fit, its value and the values that would."""
    for _, note in error.group_exceptions()[0]:
        yield f"{note.name} is {found[note.name]!r:.140}, but must be {_wanted(note.type)}"


def _wanted(type_: Any) -> str:
    plain = next((each for each in get_args(type_) if each is datetime), type_)
    if get_origin(plain) is Literal:
        return f"one of {', '.join(map(str, get_args(plain)))}"
    if _is_mapping(plain) or _is_sequence(plain):
        return "JSON of an object" if _is_mapping(plain) else "JSON of a list"
    return {datetime: "a time such as 2026-01-31T12:00:00.000Z", int: "a number"}.get(plain, str(plain))


def one(cls: type[T], rows: Iterable[Iterable[object]]) -> T | None:
    """Return the record of the first row, or None."""
    found = list(rows)  # all of them: an error would keep an open cursor, and with it the reader's snapshot
    return record(cls, found[0]) if found else None


def many(cls: type[T], rows: Iterable[Iterable[object]]) -> list[T]:
    """Return the records of all rows that fit. `damaged` returns the others: each concerns only itself."""
    return split(cls, rows)[0]


def damaged(cls: type[T], rows: Iterable[Iterable[object]]) -> list[DamagedRow]:
    """Return the errors about the rows that do not fit their record."""
    return split(cls, rows)[1]


def split(cls: type[T], rows: Iterable[Iterable[object]]) -> tuple[list[T], list[DamagedRow]]:
    """Return the records of the rows that fit, and the errors about the others."""
    fitting, others = list[T](), list[DamagedRow]()
    for row in list(rows):  # see `one`
        try:
            fitting.append(record(cls, row))
        except DamagedRow as error:
            others.append(error)
    return fitting, others


def required(
    get: Callable[Concatenate[apsw.Connection, P], T | None], missing: str
) -> Callable[Concatenate[apsw.Connection, P], T]:
    """Return a function like `get` that raises `NotFound` instead of returning None.

    `missing` is the text of the error. `str.format` puts the arguments of `get` into it.
    """

    def require(connection: apsw.Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        found = get(connection, *args, **kwargs)
        if found is None:
            raise NotFound(missing.format(*args, *kwargs.values()))
        return found

    return require


def overlaid(cls: type[T], row: Iterable[object], allowed: type, changes: Mapping[str, object]) -> T:
    """Return the record of a row with changes, which may repair a damaged field. See `changed`.

    Raises:
        DamagedRow: a field that does not change is damaged.
    """
    _check_allowed(cls.__name__, allowed, changes)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is an attrs class everywhere
    return record(cls, {**dict(zip(names, row, strict=True)), **changes}.values())


def changed(record: T, allowed: type, changes: Mapping[str, object]) -> T:
    """Return the record with changes. The TypedDict `allowed` names the fields that may change.

    Raises:
        NotAllowed: `changes` has another field. Only a caller without type checks can pass one.
    """
    _check_allowed(type(record).__name__, allowed, changes)
    return cast("T", evolve(cast("Any", record), **changes))


def _check_allowed(kind: str, allowed: type, changes: Mapping[str, object]) -> None:
    names: frozenset[str] = cast("Any", allowed).__optional_keys__
    if others := sorted(changes.keys() - names):
        known = ", ".join(sorted(names))
        raise NotAllowed(f"{kind}: {', '.join(others)} cannot be changed; use {known}")
