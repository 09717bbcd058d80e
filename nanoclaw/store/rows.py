"""Records of `nanoclaw.records` to and from rows: times as text, booleans as integers, mappings as JSON."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar, cast, get_origin

import apsw
import cattrs
from attrs import fields

from nanoclaw.store.times import from_text, to_text

T = TypeVar("T")


def _is_mapping(type_: object) -> bool:
    return get_origin(type_) is Mapping


_ROWS = cattrs.Converter()
_ROWS.register_structure_hook(datetime, lambda text, _: from_text(text))
_ROWS.register_unstructure_hook(datetime, to_text)
_ROWS.register_unstructure_hook(bool, int)
_ROWS.register_structure_hook_func(_is_mapping, lambda text, _: json.loads(text) if text else {})
_ROWS.register_unstructure_hook_func(_is_mapping, lambda rules: json.dumps(dict(rules)))


class BadRow(Exception):
    """A row holds what its record cannot; the text names the field."""


def values(record: object) -> "dict[str, apsw.SQLiteValue]":
    """A record's fields as named parameters."""
    return cast("dict[str, apsw.SQLiteValue]", _ROWS.unstructure(record))


def record(cls: type[T], row: Iterable[object]) -> T:
    """The record whose fields, in their order, are the row's columns.

    Raises:
        BadRow: a column holds something else.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is an attrs class everywhere
    try:
        return _ROWS.structure(dict(zip(names, row, strict=True)), cls)
    except cattrs.ClassValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error, path=cls.__name__))
        raise BadRow(f"a row of the central database is damaged: {reasons}") from error


def one(cls: type[T], rows: Iterable[Iterable[object]]) -> T | None:
    """The record of the first row, or None."""
    return next((record(cls, row) for row in rows), None)


def many(cls: type[T], rows: Iterable[Iterable[object]]) -> list[T]:
    """The records of all rows."""
    return [record(cls, row) for row in rows]
