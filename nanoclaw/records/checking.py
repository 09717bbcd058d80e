"""Checks of values that come from outside: channels and embedders may hand in anything.

The types of a record's fields say what fits. A `Condition` in `Annotated` narrows a type. attrs validators do
not serve: they raise where the record is built, in the code of its author. cattrs reads plain values, not
records.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import is_
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Protocol,
    Self,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
    runtime_checkable,
)

from attrs import evolve, fields, frozen, has

MAX_SHOWN = 80
"""Characters of a wrong value that an error shows."""


class BadValue(ValueError):
    """A value of the wrong type or shape. The text names the field, what it must be, and the value."""

    def __init__(self, wanted: str, value: object, field: str = "") -> None:
        super().__init__(f"{field or 'the value'} must be {wanted}, got {_shown(value)}")
        self.wanted = wanted
        self.value = value
        self.field = field

    def within(self, place: str) -> Self:
        """Return the error as seen from the record or list that has the value at `place`."""
        dot = "." if self.field and not self.field.startswith("[") else ""
        return type(self)(self.wanted, self.value, f"{place}{dot}{self.field}")


@runtime_checkable
class Condition(Protocol):
    """A condition on the values of a type, for use in `Annotated`."""

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        ...

    def fits(self, value: Any, /) -> bool:
        """Return whether a value of the type fits."""
        ...


@frozen
class Length:
    """Bounds of a text, in characters. A text of blanks counts as empty."""

    at_least: int
    at_most: int

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        least = f"{self.at_least} to" if self.at_least else "at most"
        return f"text of {least} {self.at_most:,} characters"

    def fits(self, value: str) -> bool:
        """Return whether the length is within the bounds."""
        return self.at_least <= len(value) <= self.at_most and (not self.at_least or bool(value.strip()))


@frozen
class AbsolutePath:
    """Marks a path that does not depend on the working directory, for use in `Annotated`."""

    wanted: str = "an absolute path"

    def fits(self, value: Path) -> bool:
        """Return whether the path is absolute."""
        return value.is_absolute()


MAX_DEPTH = 64
"""Most lists and objects within each other in a JSON value."""
MAX_ITEMS = 200_000
"""Most values in a JSON value. Reading it blocks the whole host, 0.3 s for a million."""


@frozen
class Json:
    """Marks a value of any shape that JSON can carry, for use in `Annotated`."""

    at_most: int
    """Limit in characters of JSON."""
    only_objects: bool = False

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        kind = "a JSON object" if self.only_objects else "a JSON value"
        return f"{kind} of at most {self.at_most:,} characters, {MAX_ITEMS:,} values and {MAX_DEPTH} levels"

    def copied(self, value: Any) -> Any:
        """Return a copy of the value, with texts of `storable_text`. Raises BadValue if it does not fit."""
        if self.only_objects and not isinstance(value, Mapping):
            raise BadValue("a JSON object", value)
        try:
            text = json.dumps(
                dict(value) if self.only_objects else value, ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise BadValue(f"{self.wanted}; {str(error)[:MAX_SHOWN]}", value) from None
        if len(text) > self.at_most:
            raise BadValue(f"{self.wanted}; it has {len(text):,} characters", text)
        found = json.loads(storable_text(text))
        _check_shape(found, self)
        return found


def _check_shape(value: Any, kind: Json) -> None:
    """Raise BadValue if a JSON value has too many values, or too many within each other."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH + 1):
        level = [item for each in level for item in _items_of(each)]
        count += len(level)
        if not level:
            return
        if count > MAX_ITEMS:
            raise BadValue(f"{kind.wanted}; it has more values", value)
    raise BadValue(f"{kind.wanted}; it has more levels", value)


def _items_of(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


Id = Annotated[str, Length(1, 1000)]
"""An id that a chat network has given, as text."""
Name = Annotated[str, Length(0, 1000)]
"""A name for people."""

_Check = Callable[[Any], Any]


def checked(value: object, kind: Any) -> Any:
    """Return the value as it is stored: lists are tuples, and texts are those of `storable_text`.

    Raises:
        BadValue: it does not fit the type `kind`.
    """
    return _check(kind)(value)


def storable_text(text: str) -> str:
    """Return text that UTF-8 can carry: a UTF-16 surrogate pair is its character, a lone surrogate `?`."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return joined.encode("utf-8", "replace").decode()
    return text


def _shown(value: object) -> str:
    text = repr(value[:MAX_SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


# -- one check a type ------------------------------------------------------------


@cache
def _check(kind: Any) -> _Check:  # noqa: PLR0911 -- one line a kind of type
    origin = get_origin(kind)
    if kind is str:
        return _text
    if origin is Annotated:
        return _annotated(kind)
    if origin is Literal:
        return _one_of(get_args(kind))
    if origin in {Union, UnionType}:
        return _any_of(get_args(kind))
    if origin in {tuple, Sequence, list}:
        return _items(_check(get_args(kind)[0]))
    if has(kind):
        return _record(kind)
    if is_typeddict(kind):
        return _keys(kind)
    if kind is datetime:
        return _moment
    return _instance(kind, origin)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("text", value)
    return value if value.isascii() else storable_text(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise BadValue("a date and time with its zone", value)
    return value


def _annotated(kind: Any) -> _Check:
    """Return the check of `Annotated`: of the type, then of its conditions."""
    base, *notes = get_args(kind)
    if isinstance(notes[0], Json):
        return cast("_Check", notes[0].copied)
    plain, conditions = _check(base), [note for note in notes if isinstance(note, Condition)]

    def check(value: Any) -> Any:
        found = plain(value)
        for condition in conditions:
            if not condition.fits(found):
                raise BadValue(condition.wanted, value)
        return found

    return check


def _one_of(choices: tuple[Any, ...]) -> _Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise BadValue(f"one of {', '.join(map(str, choices))}", value)
        return value

    return check


def _any_of(kinds: tuple[Any, ...]) -> _Check:
    """Return the check of a union: None, or the first kind that fits."""
    optional = NoneType in kinds
    checks = [_check(each) for each in kinds if each is not NoneType]

    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        errors = list[BadValue]()
        for each in checks:
            try:
                return each(value)
            except BadValue as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        raise BadValue(" or ".join(error.wanted for error in errors), value)

    return check


def _items(item: _Check) -> _Check:
    """Return the check of a tuple or list, whose result is a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, tuple | list):
            raise BadValue("a tuple or list", value)
        found = tuple(_at(f"[{n}]", item, each) for n, each in enumerate(value))
        return value if isinstance(value, tuple) and all(map(is_, found, value)) else found

    return check


def _at(place: str, check: _Check, value: Any) -> Any:
    try:
        return check(value)
    except BadValue as error:
        raise error.within(place) from None


def _record(cls: Any) -> _Check:
    """Return the check of an attrs class. Its result is the record itself, unless a field changes."""
    parts = [(each.name, _check(each.type)) for each in fields(cls)]

    def check(value: Any) -> Any:
        if not isinstance(value, cls):
            raise BadValue(f"a value of {cls.__name__}", value)
        changed = dict[str, Any]()
        for name, part in parts:  # not `_at`: this runs for each field of each message
            before = getattr(value, name)
            try:
                after = part(before)
            except BadValue as error:
                raise error.within(name) from None
            if after is not before:
                changed[name] = after
        return evolve(value, **changed) if changed else value

    return check


def _keys(kind: Any) -> _Check:
    """Return the check of a TypedDict. A key that it does not name may have any value."""
    parts = {name: _check(each) for name, each in get_type_hints(kind, include_extras=True).items()}

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise BadValue("a mapping", value)
        for name, part in parts.items():
            if name in value:
                _at(name, part, value[name])
        return value

    return check


def _instance(kind: Any, origin: Any) -> _Check:
    """Return the check of any other type, by its class. A bool does not count as a number."""
    wanted = {bool: "true or false", int: "a whole number", Mapping: "a mapping"}
    cls = origin or kind
    if cls in {object, Any} or not isinstance(cls, type):
        return lambda value: value

    def check(value: Any) -> Any:
        if not isinstance(value, cls) or (isinstance(value, bool) and cls is not bool):
            raise BadValue(wanted.get(cls, f"a value of {cls.__name__}"), value)
        return value

    return check
