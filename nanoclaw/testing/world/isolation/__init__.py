"""Isolation: in a simulated world the real clock, threads, unseeded randomness, sockets and processes raise.

They are there for embedders' code: a channel, a provider or a brain that looks at the real clock is not
deterministic, and what runs in a thread is overtaken by virtual time. Loggers get the virtual date instead.

What is caught stands in `targets`, in the thread of the world; what is not, in docs/simulation.md. A guard is
the same function for as long as the process lives and asks which world is up: a module that was imported in
one world, and has a function by name, is guarded in the next.
"""

from nanoclaw.testing.world.isolation.isolation import Isolation, NotSimulated

__all__ = ["Isolation", "NotSimulated"]
