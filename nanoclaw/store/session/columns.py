"""Reads columns of `inbound.db`, into which another program or an editor may have written anything."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from attrs import frozen

from nanoclaw.store.engine.times import from_text

T = TypeVar("T")


@frozen
class Row:
    """A row whose columns are read. All errors name it."""

    table: str
    id: object

    def text(self, column: str, value: object) -> str:
        """Return a text.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(value, str):
            raise self._error(column, value, "text")
        return value

    def number(self, column: str, value: object) -> int:
        """Return a whole number.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(value, int):
            raise self._error(column, value, "a whole number")
        return value

    def count(self, column: str, value: object) -> int:
        """Return a whole number that is written as text.

        Raises:
            ValueError: it is something else.
        """
        try:
            return int(str(value))
        except ValueError:
            raise self._error(column, value, "a whole number") from None

    def one_of(self, column: str, value: object, options: Sequence[T]) -> T:
        """Return the value, which must be one of the options.

        Raises:
            ValueError: it is something else.
        """
        for option in options:
            if value == option:
                return option
        raise self._error(column, value, f"one of {', '.join(map(str, options))}")

    def time(self, column: str, value: object) -> datetime | None:
        """Return a time, or None if there is none.

        Raises:
            ValueError: it is something else.
        """
        try:
            return from_text(self.text(column, value)) if value else None
        except ValueError:
            raise self._error(column, value, "a time such as 2026-01-31T12:00:00.000Z") from None

    def _error(self, column: str, value: object, expected: str) -> ValueError:
        found = "NULL" if value is None else f"{value!r:.80}"
        return ValueError(f"{self.table} {self.id!r:.140}: {column} is {found}, but must be {expected}")
