"""The shell of a turn. Its first command imports it, because most turns have none."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from agent_runner.session import Session

if TYPE_CHECKING:
    from agent_runner.sandbox.shell import Shell


@define(eq=False)
class TurnShell:
    """Runs the commands of one turn."""

    _session: Session
    _nursery: trio.Nursery
    _shell: "Shell | None" = field(default=None, init=False)

    async def run(self, command: str, timeout_s: float) -> str:
        """Run a command and return what it wrote and how it ended. Raises ToolError if it cannot start."""
        if self._shell is None:
            from agent_runner.sandbox.shell import shell_of  # noqa: PLC0415 -- see above

            self._shell = shell_of(self._session, self._nursery)
        return await self._shell.run(command, timeout_s)

    async def end(self) -> None:
        """Kill what is left of all commands."""
        if self._shell is not None:
            await self._shell.end()


@asynccontextmanager
async def open_shell(session: Session) -> AsyncGenerator[TurnShell]:
    """Run commands while the block runs. An error of the block is raised unchanged."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        shell = TurnShell(session, nursery)
        try:
            yield shell
        except Exception as error:  # noqa: BLE001 -- raised again below, outside the nursery
            failure = error
        finally:
            with trio.CancelScope(shield=True):
                await shell.end()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
