"""The paths in the folder of a round."""

from pathlib import Path

from attrs import frozen

from tests.soak.journal import Journal


@frozen
class Places:
    """One round's folder."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def socket(self) -> Path:
        """Return the path of the network's socket."""
        return self.folder / "network.sock"

    @property
    def network(self) -> Journal:
        """Return the path of the network's log."""
        return Journal(self.folder / "network.log")

    @property
    def kills(self) -> Journal:
        """Return the log of kills."""
        return Journal(self.folder / "kills.log")

    @property
    def runner_died(self) -> Path:
        """Return the file that a runner creates when it kills itself at a commit."""
        return self.folder / "runner-died"

    def host_log(self, life: int) -> Path:
        """Return the file with the output of one host and its runners."""
        return self.folder / f"host-{life}.log"
