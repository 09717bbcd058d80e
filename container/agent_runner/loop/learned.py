"""What servers have taught about their models, kept in the session's state under one key."""

import json
from collections.abc import Mapping

from attrs import field, frozen

from agent_runner.loop.history import StateChanges

KEY = "learned"


@frozen
class Learned:
    """The facts that the answers of servers have taught about their models."""

    contexts: Mapping[str, int] = field(factory=dict)
    """Sizes of contexts, by model."""
    no_files: frozenset[str] = frozenset()
    """Models that take no pictures or files."""

    def change(self) -> StateChanges:
        """Return the change of the state that stores it."""
        value = {"contexts": dict(self.contexts), "no_files": sorted(self.no_files)}
        return {KEY: json.dumps(value)}


def read_learned(state: Mapping[str, str]) -> Learned:
    """Read what was learned. It never fails."""
    try:
        match json.loads(state.get(KEY, "{}")):
            case {"contexts": dict(contexts), "no_files": list(names)}:
                sizes = {
                    str(name): size for name, size in contexts.items() if isinstance(size, int) and size > 0
                }
                return Learned(sizes, frozenset(map(str, names)))
            case _:
                return Learned()
    except (ValueError, RecursionError):
        return Learned()
