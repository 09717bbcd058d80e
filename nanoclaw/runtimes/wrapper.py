"""The base of runtimes that wrap another one, such as a recorder."""

from collections.abc import Sequence

import trio
from attrs import define

from nanoclaw.runtimes.protocol import Death, Runner, RunnerSpec, Runtime, isolates


@define(eq=False)
class RuntimeWrapper:
    """A runtime that forwards all calls to another one. A subclass overrides some of them."""

    runtime: Runtime

    @property
    def name(self) -> str:
        """The name of the wrapped runtime."""
        return self.runtime.name

    @property
    def isolates(self) -> bool:
        """True if the wrapped runtime isolates its runners."""
        return isolates(self.runtime)

    def refusal(self, provider: str) -> str | None:
        """Return the wrapped runtime's refusal."""
        return self.runtime.refusal(provider)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run a runner with the wrapped runtime."""
        return await self.runtime.run(spec, task_status=task_status)

    async def survivors(self) -> Sequence[str]:
        """Return the wrapped runtime's survivors."""
        return await self.runtime.survivors()

    async def recover(self, spec: RunnerSpec) -> None:
        """Recover with the wrapped runtime."""
        await self.runtime.recover(spec)


def unwrapped(runtime: Runtime) -> Runtime:
    """Return the runtime inside all wrappers. Its optional protocols are its own."""
    while isinstance(runtime, RuntimeWrapper):
        runtime = runtime.runtime
    return runtime
