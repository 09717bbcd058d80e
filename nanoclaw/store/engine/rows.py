"""Converts records to rows and back: times as text, booleans as integers, mappings and sequences as JSON.

Before a row is written, it is converted back in memory. So every stored row can be read.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_origin

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
    """A row of the central database does not fit its record. The text names the field."""


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
    try:
        return _ROWS.structure(dict(zip(names, row, strict=True)), cls)
    except cattrs.ClassValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error, path=cls.__name__))
        raise DamagedRow(
            f"a row of the central database is damaged, repair or delete it: {reasons}"
        ) from error


def one(cls: type[T], rows: Iterable[Iterable[object]]) -> T | None:
    """Return the record of the first row, or None."""
    return next((record(cls, row) for row in rows), None)


def many(cls: type[T], rows: Iterable[Iterable[object]]) -> list[T]:
    """Return the records of all rows."""
    return [record(cls, row) for row in rows]


def readable(cls: type[T], rows: Iterable[Iterable[object]]) -> tuple[list[T], list[DamagedRow]]:
    """Return the records of the rows that fit, and an error for each of the others. It names the row."""
    found, damaged = list[T](), list[DamagedRow]()
    for row in map(tuple, rows):
        try:
            found.append(record(cls, row))
        except DamagedRow as error:
            damaged.append(DamagedRow(f"{cls.__name__} {row[0]}: {error}"))
    return found, damaged


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


def changed(record: T, allowed: type, changes: Mapping[str, object]) -> T:
    """Return the record with changes. The TypedDict `allowed` names the fields that may change.

    Raises:
        NotAllowed: `changes` has another field. Only a caller without type checks can pass one.
    """
    names: frozenset[str] = cast("Any", allowed).__optional_keys__
    if others := sorted(changes.keys() - names):
        known = ", ".join(sorted(names))
        raise NotAllowed(f"{type(record).__name__}: {', '.join(others)} cannot be changed; use {known}")
    return cast("T", evolve(cast("Any", record), **changes))
