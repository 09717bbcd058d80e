"""Access to the databases: ownership, writers, readers, and the rows of each entity."""

from apsw import Connection

from nanoclaw.store.engine.connections import ForbiddenConnection
from nanoclaw.store.engine.errors import (
    CannotOpen,
    Conflict,
    CorruptDatabase,
    ForeignDatabase,
    HotJournal,
    NewerDatabase,
    NotAllowed,
    NotFound,
    OperationRefused,
    Owned,
    ReadOnlyStore,
    StillReferenced,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    TooBig,
    Untrusted,
)
from nanoclaw.store.engine.executor import Executor, Lane, ThreadExecutor
from nanoclaw.store.engine.guard import UntrustedReader, open_untrusted
from nanoclaw.store.engine.ownership import own_central, own_inbound, owner_of
from nanoclaw.store.engine.reader import Reader, open_reader, read_once
from nanoclaw.store.engine.times import from_text, to_text
from nanoclaw.store.engine.writer import Writer
from nanoclaw.store.session.outbound_file import create_outbound

__all__ = [
    "CannotOpen",
    "Conflict",
    "Connection",
    "CorruptDatabase",
    "Executor",
    "ForbiddenConnection",
    "ForeignDatabase",
    "HotJournal",
    "Lane",
    "NewerDatabase",
    "NotAllowed",
    "NotFound",
    "OperationRefused",
    "Owned",
    "ReadOnlyStore",
    "Reader",
    "StillReferenced",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "ThreadExecutor",
    "TooBig",
    "Untrusted",
    "UntrustedReader",
    "Writer",
    "create_outbound",
    "from_text",
    "open_reader",
    "open_untrusted",
    "own_central",
    "own_inbound",
    "owner_of",
    "read_once",
    "to_text",
]
