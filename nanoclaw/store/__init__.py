"""The databases: who may write them, how they are read, and what stands in them."""

from apsw import Connection

from nanoclaw.store.connections import ForbiddenConnection
from nanoclaw.store.errors import (
    CannotOpen,
    Conflict,
    CorruptDatabase,
    ForeignDatabase,
    HotJournal,
    NewerDatabase,
    NotAllowed,
    NotFound,
    Owned,
    ReadOnlyStore,
    Refused,
    StillReferenced,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    TooBig,
    Untrusted,
)
from nanoclaw.store.executor import Executor, Lane, ThreadExecutor
from nanoclaw.store.guard import UntrustedReader, open_untrusted
from nanoclaw.store.outbound_file import create_outbound
from nanoclaw.store.ownership import own_central, own_inbound
from nanoclaw.store.reader import Reader, open_reader, read_once
from nanoclaw.store.times import from_text, to_text
from nanoclaw.store.writer import Writer

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
    "Owned",
    "ReadOnlyStore",
    "Reader",
    "Refused",
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
    "read_once",
    "to_text",
]
