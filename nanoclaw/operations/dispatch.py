"""Performs an operation from outside by its name, with JSON in and out."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog
from attrs import frozen

from actors import ActorError, Refusal
from nanoclaw.operations import references
from nanoclaw.operations.arguments import structured
from nanoclaw.operations.catalogue import Catalogue
from nanoclaw.operations.declaration import Kind, Operation
from nanoclaw.operations.errors import BadArguments, Forbidden, Unavailable
from nanoclaw.operations.ground import Ground
from nanoclaw.operations.labels import labelled
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Caller
from nanoclaw.store import Conflict, NotFound
from nanoclaw.system.foreign import ForeignError, foreign_code

T = TypeVar("T")
_log = structlog.get_logger()

LONGEST = 1000
"""Maximum characters of a refusal."""


class OperationFailed(Exception):
    """An operation was not performed. The text is one line for people, the code is for programs."""

    def __init__(self, code: str, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= LONGEST else f"{line[:LONGEST]}…")
        self.code = code


@frozen
class Operations:
    """The list of operations, ready to be performed on a ground."""

    catalogue: Catalogue
    ground: Ground

    async def perform(
        self, name: str, params: Mapping[str, object], caller: Caller, note: Callable[[str], None]
    ) -> object:
        """Perform an operation; returns its result as JSON.

        Args:
            name: such as `members.add`.
            params: its parameters by label.
            caller: who asks.
            note: told of what the result lacks.

        Raises:
            OperationFailed: it was refused, and nothing was changed.
        """
        return await self._refusing(name, params, lambda found: self._perform(found, params, caller, note))

    async def question(self, name: str, params: Mapping[str, object], caller: Caller) -> str:
        """Return the question to a person before an operation is performed; empty: nothing is destroyed.

        Args:
            name: such as `members.remove`.
            params: its parameters by label.
            caller: who asks.

        Raises:
            OperationFailed: the operation would be refused, as far as that is known before.
        """
        return await self._refusing(name, params, lambda found: self._question(found, params, caller))

    async def _refusing(
        self, name: str, params: Mapping[str, object], call: Callable[[Operation], Awaitable[T]]
    ) -> T:
        """Run a call on the operation with that name; every refusal becomes `OperationFailed`."""
        operation: Operation | None = None
        try:
            operation = self.catalogue.operation(name)
            return await call(operation)
        except BadArguments as error:
            raise OperationFailed("bad_request", str(error)) from error
        except Conflict as error:
            raise OperationFailed("conflict", _said(operation, "conflict", params) or str(error)) from error
        except (Refusal, ActorError) as error:
            raise OperationFailed(_code(error), _innermost(error)) from error

    async def _perform(
        self, operation: Operation, params: Mapping[str, object], caller: Caller, note: Callable[[str], None]
    ) -> object:
        noun = self.catalogue.nouns[operation.noun](self.ground, caller, note)
        values = structured(operation, params)
        arguments = await noun.admitted(operation, values, strict=True)
        result = await _result(operation, noun, arguments)
        if operation.verb == "list":
            await noun.note_damaged()
        missing = _said(operation, "missing", params)
        if result is None and missing is not None:
            raise NotFound(missing)
        return await self.ground.central.run(labelled, result)

    async def _question(self, operation: Operation, params: Mapping[str, object], caller: Caller) -> str:
        noun = self.catalogue.nouns[operation.noun](self.ground, caller, lambda _: None)
        arguments = await noun.admitted(operation, structured(operation, params), strict=True)
        question = _said(operation, "asks", params) or ""
        warning = await noun.warning(operation.verb, arguments) if question else ""
        return f"{warning} {question}".strip()

    async def found(self, kind: Kind, text: str) -> str:
        """Return the id of the thing that a name means. Raises OperationFailed."""
        try:
            return (await self.ground.central.run(references.resolve, kind, text)).id
        except Refusal as error:
            raise OperationFailed(_code(error), _innermost(error)) from error

    async def names(self, kind: Kind) -> list[str]:
        """Return the names of a kind, for completion. Raises StoreError."""
        if kind in references.IN_FILES:
            return await self.ground.files.names(kind)
        return await self.ground.central.run(references.names, kind)


async def _result(operation: Operation, noun: Noun, arguments: Mapping[str, object]) -> object:
    """Run an operation, which may be that of an installed package. Its failure is the caller's alone."""
    try:
        with foreign_code(BadArguments, Refusal, ActorError):
            return await operation.method(noun, **arguments)
    except ForeignError as error:
        _log.error("operation.failed", operation=operation.name, exc_info=error.error)
        raise OperationFailed("refused", f"{operation.name} failed: {error}") from error


def _said(operation: Operation | None, what: str, params: Mapping[str, object]) -> str | None:
    """Return a sentence of the declaration, with the arguments filled in."""
    template = operation and getattr(operation.declared, what)
    return filled(template, params) if template else None


def filled(template: str, params: Mapping[str, object]) -> str:
    """Return a sentence with the parameters filled in, cut to the length of a line."""
    for name, value in params.items():
        template = template.replace("{%s}" % name, str(value)[:100])  # noqa: UP031 -- braces around
    return template


def _code(error: Exception) -> str:
    match error:
        case Forbidden():
            return "forbidden"
        case NotFound():
            return "not_found"
        case Unavailable() | ActorError():
            return "unavailable"
        case _:
            return "refused"


def _innermost(error: BaseException) -> str:
    """Return the text of the innermost cause: the errors of actors only name the actor."""
    while isinstance(error, ActorError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error)
