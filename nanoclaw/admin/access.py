"""How the facade reaches the central database: reads through a reader, writes through the registry."""

from attrs import frozen

from actors import Ref
from nanoclaw.registry import Registry
from nanoclaw.store import Reader


@frozen
class Access:
    """One entity of `Admin`. What it writes is on disk when the call returns, and read by the next one.

    Every call may raise `StoreError` (the database cannot be read or written, or a constraint forbids it) and
    `actors.ActorError` (the host is stopping, or its registry crashed).
    """

    _registry: Ref[Registry]
    _central: Reader
