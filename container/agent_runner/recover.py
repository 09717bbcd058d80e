"""`python -m agent_runner recover`: makes the outbound.db of a killed runner readable again (contract 6).

The host must not do it itself: rolling back a crafted journal deletes any file that the journal names.
"""

from agent_runner.config import RunnerConfig
from agent_runner.errors import RecoverError, RunnerError
from agent_runner.lock import hold_lock
from agent_runner.seams import Executor
from agent_runner.store import Connection, open_outbound


async def recover(config: RunnerConfig, executor: Executor) -> None:
    """Roll back a hot journal and check the file. Raises OwnerError (a runner is alive), RecoverError."""
    async with hold_lock(config.owner_lock):
        try:
            async with open_outbound(config.outbound_db, executor, create=False) as outbound:
                problem = await outbound.read(_check)
        except RunnerError as error:
            raise RecoverError(f"{config.outbound_db} cannot be recovered: {error}") from error
    if problem != "ok":
        raise RecoverError(f"{config.outbound_db} is damaged: {problem}")


def _check(connection: Connection) -> str:
    return str(connection.execute("PRAGMA quick_check(1)").get)
