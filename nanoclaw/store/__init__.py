"""Access to the databases: ownership, writers, readers, and the rows of each entity."""

from apsw import Connection

from nanoclaw.store.engine.anew import check_file
from nanoclaw.store.engine.connections import ForbiddenConnection
from nanoclaw.store.engine.errors import (
    CannotOpen,
    Conflict,
    CorruptDatabase,
    Exhausted,
    ForeignDatabase,
    HotJournal,
    LostDatabase,
    NewerDatabase,
    NotAllowed,
    NotFound,
    OperationRefused,
    Owned,
    OwnershipLost,
    ReadOnlyStore,
    StaleSidecar,
    StillReferenced,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooBig,
    Untrusted,
)
from nanoclaw.store.engine.executor import Executor, Lane, ThreadExecutor
from nanoclaw.store.engine.guard import UntrustedReader, open_untrusted
from nanoclaw.store.engine.ownership import own_central, own_inbound, owner_of
from nanoclaw.store.engine.reader import Reader, open_reader, read_once
from nanoclaw.store.engine.rows import DamagedRow
from nanoclaw.store.engine.times import from_text, to_text
from nanoclaw.store.engine.writer import Writer
from nanoclaw.store.session.outbound_file import create_outbound

__all__ = [
    "CannotOpen",
    "Conflict",
    "Connection",
    "CorruptDatabase",
    "DamagedRow",
    "Executor",
    "Exhausted",
    "ForbiddenConnection",
    "ForeignDatabase",
    "HotJournal",
    "Lane",
    "LostDatabase",
    "NewerDatabase",
    "NotAllowed",
    "NotFound",
    "OperationRefused",
    "Owned",
    "OwnershipLost",
    "ReadOnlyStore",
    "Reader",
    "StaleSidecar",
    "StillReferenced",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "ThreadExecutor",
    "TooBig",
    "Untrusted",
    "UntrustedReader",
    "Writer",
    "check_file",
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
