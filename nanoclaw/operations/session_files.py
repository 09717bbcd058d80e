"""Reads the files of many sessions: concurrently in the readers' threads, and again only after a change.

A file that has not changed since it was read is not opened. Its modification time has a limited resolution.
So a result that was read within `SETTLED_S` of the last change is not cached.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import Factory, define, frozen

from nanoclaw.operations.references import Candidate, Found, pick, quoted
from nanoclaw.records import Session, SessionPaths
from nanoclaw.store import (
    CannotOpen,
    Connection,
    Executor,
    NotFound,
    Reader,
    StoreBusy,
    StoreError,
    open_reader,
    open_untrusted,
    read_once,
)
from nanoclaw.store.central import sessions
from nanoclaw.store.engine.errors import translated_os
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.session import views as session_views

T = TypeVar("T")
_State = tuple[int, int, int]
"""The modification time, size and identity of a file."""

AT_ONCE = 4
"""Threads that read at the same time."""
BATCH = 25
"""Files that a thread reads before it is released to others."""
SETTLED_S = 2.0
REMEMBERED = 20_000
"""Maximum number of cached results."""
LATEST = 20
"""Messages of a session that completion offers."""
PATIENCE_S = 0.5
"""Seconds to wait for an outbound file that its runner keeps locked."""


@frozen
class InSession:
    """The result of reading one session's file; `problem` says why nothing could be read."""

    session: Session
    value: Any = None
    problem: str | None = None


@frozen
class _Remembered:
    state: _State
    value: Any


def key_of(session_id: str, id_: str) -> str:
    """Return the full name of a task or a message: its id is unique only within its session."""
    return f"{session_id}/{id_}"


def of_key(key: str) -> tuple[str, str]:
    """Return the session's id, and the id within it."""
    session_id, _, id_ = key.partition("/")
    return session_id, id_


@define(eq=False)
class SessionFiles:
    """The files of all sessions of a data directory, for reading."""

    data: Path
    executor: Executor
    central: Reader
    now: Callable[[], datetime]
    _remembered: dict[tuple[str, str], _Remembered] = Factory(dict)

    def paths(self, session: Session) -> SessionPaths:
        """Return the paths of a session's files."""
        return SessionPaths.of(self.data, session.agent_group_id, session.id)

    async def inbound(
        self, found: Sequence[Session], name: str, fn: Callable[[Connection], T]
    ) -> list[InSession]:
        """Run `fn(connection)` on the `inbound.db` of each session; `name` is the key of the cached result.

        Sessions without a file are left out.
        """
        results, waiting = dict[str, InSession](), list[Session]()
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def read(batch: Sequence[Session]) -> None:
            async with limiter:
                call = partial(self._read_batch, batch, name, fn)
                for session, one in await self.executor.run(call, lane="read"):
                    if one is None:
                        waiting.append(session)
                    else:
                        results[session.id] = one

        async with trio.open_nursery() as nursery:
            for first in range(0, len(found), BATCH):
                nursery.start_soon(read, found[first : first + BATCH])
        for session in waiting:
            results[session.id] = await self._read_patiently(session, fn)
        return [results[each.id] for each in found if each.id in results]

    async def outbound(self, session: Session, fn: Callable[[Connection], T]) -> T:
        """Run `fn(connection)` on the `outbound.db` of a session, as on any hostile file.

        Raises:
            StoreError: it cannot be read now, or is not a file that the host reads.
        """
        file = self.paths(session).outbound_db
        async with open_untrusted(file, self.executor, patience_s=PATIENCE_S) as reader:
            return await reader.run(fn)

    async def named(self, kind: str, text: str) -> Found:
        """Find the task or message that an id, its beginning, or `session/id` means.

        Raises:
            NotFound, Ambiguous
        """
        every = await self.central.run(sessions.every, None)
        before, slash, id_ = text.rpartition("/")
        places = [each for each in every if not slash or each.id.startswith(before)]
        query = partial(_ids[kind], text=id_)
        found = await self.inbound(places, "", query) if id_ else []
        candidates = [
            Candidate(key_of(one.session.id, each), agent_ids=(one.session.agent_group_id,), short=each)
            for one in found
            for each in one.value or ()
        ]
        problems = [f"session {one.session.id}: {one.problem}" for one in found if one.problem]
        if problems and not candidates:
            raise NotFound(f"there is no {kind} {quoted(text)} in the files that can be read; {problems[0]}")
        return pick(kind, id_ or text, candidates)

    async def names(self, kind: str) -> list[str]:
        """Return the ids of open tasks or of the latest messages, for completion."""
        every = await self.central.run(sessions.every, None)
        found = await self.inbound(every, f"{kind} ids", _names[kind])
        return [*dict.fromkeys(id_ for one in found for id_ in one.value or ())]

    # -- reading

    def _read_batch(
        self, batch: Sequence[Session], name: str, fn: Callable[[Connection], T]
    ) -> list[tuple[Session, InSession | None]]:
        """Read the files that exist; None stands for a file that is locked at this moment."""
        found = list[tuple[Session, InSession | None]]()
        for session in batch:
            file = self.paths(session).inbound_db
            try:
                state = _state(session, file)
            except StoreError as error:
                found.append((session, InSession(session, problem=str(error))))
            else:
                if state is not None:
                    found.append((session, self._remembered_or_read(session, file, state, name, fn)))
        return found

    def _remembered_or_read(
        self, session: Session, file: Path, state: _State, name: str, fn: Callable[[Connection], T]
    ) -> InSession | None:
        known = self._remembered.get((str(file), name))
        if name and known is not None and known.state == state:
            return InSession(session, known.value)
        try:
            value = read_once(file, fn)
        except StoreBusy:
            return None
        except StoreError as error:
            return InSession(session, problem=str(error))
        except (ValueError, TypeError) as error:
            return _with_bad_row(session, file, error)
        if name and self.now().timestamp() - state[0] / 1e9 > SETTLED_S:
            self._remember((str(file), name), _Remembered(state, value))
        return InSession(session, value)

    async def _read_patiently(self, session: Session, fn: Callable[[Connection], T]) -> InSession:
        try:
            async with open_reader(self.paths(session).inbound_db, self.executor) as reader:
                return InSession(session, await reader.run(fn))
        except StoreError as error:
            return InSession(session, problem=str(error))
        except (ValueError, TypeError) as error:
            return _with_bad_row(session, self.paths(session).inbound_db, error)

    def _remember(self, key: tuple[str, str], value: _Remembered) -> None:
        while len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = value


def _with_bad_row(session: Session, file: Path, error: Exception) -> InSession:
    return InSession(session, problem=f"{file}: a row cannot be read: {error}")


def _state(session: Session, file: Path) -> _State | None:
    """Return the state of a session's file, or None if there is no file.

    Raises:
        StoreError: its folder cannot be entered, or its ids cannot name a folder.
    """
    if not (is_component(session.id) and is_component(session.agent_group_id)):
        raise CannotOpen(file, "an id in its row of v2.db cannot be the name of a folder; correct that row")
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated_os(error, file) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _task_ids(connection: Connection, text: str) -> list[str]:
    return session_views.task_ids(connection, text)


def _message_ids(connection: Connection, text: str) -> list[str]:
    return [message.id for message in session_views.with_ids(connection, text)]


_ids: dict[str, Callable[..., list[str]]] = {"task": _task_ids, "message": _message_ids}


def _open_task_ids(connection: Connection) -> list[str]:
    return [task.id for task in session_views.open_tasks(connection)]


def _latest_message_ids(connection: Connection) -> list[str]:
    return [message.id for message in session_views.latest(connection, limit=LATEST)]


_names: dict[str, Callable[[Connection], list[str]]] = {
    "task": _open_task_ids,
    "message": _latest_message_ids,
}
