"""The start of a session's runner: its projections, its specification, and its door at the gateway."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from attrs import define, field

from nanoclaw.gateway import Caller, DoorFailed, SessionModels, WebCaller
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
    _spec: RunnerSpec | None = field(default=None, init=False)
    """That of the last start."""

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
        self._spec = spec
        return spec

    @asynccontextmanager
    async def door(self) -> AsyncIterator[None]:
        """Open the runner's doors at the gateway while the context is open.

        Raises:
            StartFailed: a socket cannot be made. The text says why.
        """
        async with AsyncExitStack() as stack:
            try:
                for each in self._doors():
                    await stack.enter_async_context(each)
            except DoorFailed as error:
                raise (NothingLeft if error.passes else StartFailed)(str(error)) from error
            yield

    def _doors(self) -> Iterator[AbstractAsyncContextManager[None]]:
        """Yield the doors of the last start: to the models, and to the web."""
        who, gateway, spec = self.conversation, self.services.gateway, self._spec
        if spec is None or self._models is None:
            return
        yield gateway.door(spec.paths.model_socket, Caller(who.session.id, who.agent_group.id, self._models))
        if spec.web:
            rule = spec.network or self.services.config.sandbox.network
            caller = WebCaller(who.session.id, who.agent_group.id, rule)
            yield gateway.web_door(spec.paths.web_socket, caller)
