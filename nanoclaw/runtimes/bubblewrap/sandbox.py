"""One sandbox: its command line and its environment."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.runtimes.bubblewrap.detect import Ready, line
from nanoclaw.runtimes.bubblewrap.groups import Group
from nanoclaw.runtimes.bubblewrap.limits import process_limits
from nanoclaw.runtimes.bubblewrap.options import Wanted
from nanoclaw.runtimes.protocol import WORKSPACE, RunnerSpec
from nanoclaw.system.sandbox_user import sandbox_owner


@frozen
class Sandbox:
    """The sandbox of one runner."""

    ready: Ready
    spec: RunnerSpec
    scratch_bytes: int
    group: Group | None = None
    """Its control group, if there is one."""
    packages: Path | None = None
    """The folder of its packages, if there is one."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of its first program, and so of the runner.

        Those of the loader would also change programs that run outside of the sandbox.
        """
        ours = layout.environment(self.spec)
        outside = self.ready.maker.variables if self.ready.maker else {}
        return {**{name: value for name, value in ours.items() if not _is_of_loader(name)}, **outside}

    def line(self, arguments: Sequence[str], *, report: int, info: int, seccomp: int | None) -> Sequence[str]:
        """Return the whole command line. `arguments` are those of the runner."""
        owner = sandbox_owner()
        before = () if self.group is None else self.group.before
        made = line(self.ready, self._wanted(info, seccomp), owner and owner[0])
        return [*before, *made, *self._program(report), *arguments]

    def _wanted(self, info: int, seccomp: int | None) -> Wanted:
        ours = layout.environment(self.spec)
        outside = self.ready.maker.variables if self.ready.maker else {}
        return Wanted(
            (*layout.etc(), *layout.python(), *layout.runner(), *layout.session(self.spec, self.packages)),
            self.scratch_bytes,
            str(WORKSPACE / "agent"),
            seccomp,
            info,
            {name: value for name, value in ours.items() if _is_of_loader(name)},
            tuple(name for name in outside if name not in ours),
        )

    def _program(self, report: int) -> Sequence[str]:
        """Return the command inside, up to the runner's arguments."""
        if self.spec.command:
            options, how = ["-I", "-S"], ["exec", *self.spec.command]
        else:
            options, how = ["-E", "-P", "-B"], ["module", "agent_runner", layout.module_paths()]
        limits = process_limits(self.spec.limits, self.ready.means.covers)
        return [layout.interpreter(), *options, layout.INSIDE, str(report), limits, *how]


def _is_of_loader(name: str) -> bool:
    return name.startswith(("LD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_"))
