"""A simulated runtime that says that it isolates, so that the rules for sandboxes hold."""

from attrs import evolve

from nanoclaw.host import Seams
from nanoclaw.runtimes import RuntimeWrapper


class Isolated(RuntimeWrapper):
    """The simulated runtime, as a sandbox."""

    @property
    def isolates(self) -> bool:
        return True


def isolated(seams: Seams) -> Seams:
    assert seams.runtime is not None
    return evolve(seams, runtime=Isolated(seams.runtime))
