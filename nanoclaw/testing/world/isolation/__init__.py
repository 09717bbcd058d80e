"""Isolation: in a simulated world the real clock, threads, unseeded randomness, sockets and processes raise.

The guards check embedders' code. A channel, a provider or a brain that reads the real clock is not
deterministic, and virtual time overtakes work in a thread. Loggers get the virtual date instead.

`targets` lists what is refused in the thread of the world; docs/simulation.md says what is not refused. A
guard is the same function for the life of the process, and looks up the active world at each call. So a
module that imported it by name in one world is guarded in the next.
"""

from nanoclaw.testing.world.isolation.isolation import Isolation, NotSimulated

__all__ = ["Isolation", "NotSimulated"]
