"""The base of all nouns: the parts that their operations use, and the one check that admits a call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from actors import Ref
from nanoclaw.operations import references
from nanoclaw.operations.declaration import Operation, Reference
from nanoclaw.operations.ground import Ground
from nanoclaw.operations.rights import Caller, check, has_global_right
from nanoclaw.operations.session_files import InSession
from nanoclaw.registry import Registry
from nanoclaw.store import Connection, NotFound, Reader
from nanoclaw.store.central import damage, users


@frozen
class Noun:
    """One noun, for one caller. A call's changes are on disk when it returns, and the next call reads them.

    Every call may raise `nanoclaw.store.OperationRefused` (the operation cannot be done), `StoreError` (a
    database cannot be read or written) and `actors.ActorError` (the host stops, or its registry crashed).
    """

    _ground: Ground
    _caller: Caller
    note: Callable[[str], None]
    """Called with each gap in the result, such as a file that cannot be read."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    alone: ClassVar[str] = ""
    """The verb that the command performs if it names none; empty if a verb must be named."""
    table: ClassVar[str] = ""
    """The table of the central database that its list reads; empty for a noun without one."""

    @property
    def _registry(self) -> Ref[Registry]:
        return self._ground.registry

    @property
    def _central(self) -> Reader:
        return self._ground.central

    async def warning(self, verb: str, arguments: Mapping[str, Any]) -> str:  # noqa: ARG002 -- for nouns that have one
        """Return a warning that a person reads before they confirm an operation, besides its question."""
        return ""

    async def _known_caller(self) -> str | None:
        """Return the caller's id for a row that records who did something; None if the user is unknown."""
        user = self._caller.user_id
        if user is None or await self._central.run(users.get, user) is None:
            return None
        return user

    def _note_refusal(self, provider: str | None) -> None:
        """Note that a provider that was just chosen answers nobody."""
        refusal = self._ground.refusal(provider) if provider else None
        if refusal is not None:
            self.note(f"messages will not be answered: {refusal}")

    def _note_problems(self, found: Sequence[InSession]) -> None:
        for one in found:
            if one.problem is not None:
                self.note(f"session {one.session.id} is left out: {one.problem}")

    async def note_damaged(self) -> None:
        """Note the rows of the noun's table that a list leaves out."""
        sees_all = await self._central.run(has_global_right, self._caller)
        if self.table and sees_all:
            for sentence in await self._central.run(damage.find, self.table):
                self.note(f"{sentence}; it is left out: correct or delete that row of v2.db")

    async def admitted(
        self, operation: Operation, values: Mapping[str, Any], *, strict: bool
    ) -> dict[str, Any]:
        """Return the arguments with ids for names, once the caller is known to have the right.

        Args:
            operation: what is asked for.
            values: its arguments, by their names in Python.
            strict: refuse an unknown name. Else it is passed on, for the registry to refuse.

        Raises:
            Forbidden: the caller lacks the right.
            NotFound, Ambiguous: a name means nothing, or several things.
        """
        arguments, concerned = dict(values), list[str]()
        named = {
            each.name: each.reference
            for each in operation.parameters
            if each.reference is not None and values.get(each.name) is not None
        }
        for name, reference in named.items():
            if reference.in_files:
                found = await self._in_files(reference, arguments[name])
                arguments[name], concerned = found.id, [*concerned, *found.agent_ids]
        central = {name: reference for name, reference in named.items() if not reference.in_files}
        if named or not self._caller.unlimited:
            admission = Admission(operation, self._caller, central, concerned, strict=strict)
            return await self._central.run(admission.admit, arguments)
        return arguments

    async def _in_files(self, reference: Reference, text: str) -> references.Found:
        """Find a task or message. A caller who may not see everything is not told that it does not exist."""
        try:
            return await self._ground.files.named(reference.kind, text)
        except NotFound:
            if await self._central.run(has_global_right, self._caller):
                raise
            return references.Found(text)


@frozen
class Admission:
    """The admission of one call: its names are resolved and its right is checked, in one read."""

    operation: Operation
    caller: Caller
    named: Mapping[str, Reference]
    """The parameters that name rows of the central database."""
    concerned: Sequence[str]
    """The agents that are known to be concerned."""
    strict: bool

    def admit(self, connection: Connection, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with ids for names.

        An unknown name is told only to callers who may see everything: to others it is a lacking right.

        Raises:
            Forbidden, NotFound, Ambiguous
        """
        admitted, concerned, unknown = dict(arguments), list(self.concerned), list[NotFound]()
        for name, reference in self.named.items():
            try:
                found = references.resolve(connection, reference.kind, arguments[name])
            except NotFound as error:
                if self.strict and not reference.new:
                    unknown.append(error)
                continue
            admitted[name] = found.id
            concerned += found.agent_ids
        right = self.operation.declared.right
        check(connection, self.caller, right, () if unknown else concerned, self.operation.words)
        if unknown:
            raise unknown[0]
        return admitted
