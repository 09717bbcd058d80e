"""The start of a session's runner: its projections, its specification, and its door at the gateway."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from attrs import define, field

from nanoclaw.gateway import Caller, DoorFailed, SessionModels
from nanoclaw.runtimes import NothingLeft, RunnerSpec, StartFailed
from nanoclaw.session import transactions
from nanoclaw.session.conversations import refreshed
from nanoclaw.session.services import Conversation, Services
from nanoclaw.session.spec import runner_start
from nanoclaw.store import DamagedRow, Writer


@define(eq=False)
class RunnerStart:
    """Prepares each start of one session's runner."""

    services: Services
    conversation: Conversation
    inbound: Writer
    _models: SessionModels | None = field(default=None, init=False)
    """Those of the last start."""

    async def prepare(self) -> RunnerSpec:
        """Rewrite the projections and return the specification of a runner before it starts.

        Raises:
            StartFailed: the session's rows, or the agent's folder, cannot be used. The text says why.
        """
        services = self.services
        try:
            conversation, view = await services.central.run(refreshed, self.conversation)
        except DamagedRow as error:
            raise StartFailed(str(error)) from error
        await self.inbound.run(transactions.project_changes, view, conversation.chat)
        spec, self._models = await services.executor.run(partial(runner_start, services, conversation, view))
        return spec

    @asynccontextmanager
    async def door(self) -> AsyncIterator[None]:
        """Open the runner's door at the gateway while the context is open.

        Raises:
            StartFailed: its socket cannot be made. The text says why.
        """
        who, models = self.conversation, self._models
        if models is None:
            yield
            return
        path = who.paths(self.services.config).model_socket
        caller = Caller(who.session.id, who.agent_group.id, models)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.services.gateway.door(path, caller))
            except DoorFailed as error:
                raise (NothingLeft if error.passes else StartFailed)(str(error)) from error
            yield
