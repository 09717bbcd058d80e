"""Makes the parts of a running channel: the transcript, the rooms, the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import trio

from nanoclaw.channels.agents import Agents
from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.http.application import HttpServer, application
from nanoclaw.channels.http.callbacks import Callbacks
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.files import Files
from nanoclaw.channels.http.keys import Keys
from nanoclaw.channels.http.pruning import keep_in_bounds
from nanoclaw.channels.http.rates import Rates
from nanoclaw.channels.http.rooms import Rooms
from nanoclaw.channels.http.sending import HttpSender
from nanoclaw.channels.http.server import serving
from nanoclaw.channels.http.web import logins
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import Intake
from nanoclaw.store import Executor
from nanoclaw.store.transcript import entries
from nanoclaw.store.transcript.opening import Transcript, own_transcript


@asynccontextmanager
async def running(  # noqa: PLR0913, PLR0917 -- the parts of the channel
    config: HttpConfig,
    context: ChannelContext,
    intake: Intake,
    state: ChannelState,
    agents: Agents,
    executor: Executor,
    random: Random,
) -> AsyncIterator[tuple[HttpSender, int]]:
    """Run the server while the context is open. Yield the sender and the port."""
    async with own_transcript(context.folder, executor=executor, random=random) as transcript:
        await transcript.writer.run(entries.withdraw_all)
        server = _server(config, context, intake, state, agents, random, transcript)
        await server.files.open()
        host, port = config.place
        async with (
            serving(
                application(server), host, port, most=config.connections, closing=server.closing
            ) as bound,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(keep_in_bounds, server)
            if config.callback_secret is not None:
                secret = Secret(config.callback_secret)
                nursery.start_soon(Callbacks(server.rooms, secret, config.private_callbacks).run)
            async with logins.announced(state, logins.address(host, bound)):
                yield HttpSender(server), bound
            nursery.cancel_scope.cancel()


def _server(  # noqa: PLR0913, PLR0917 -- likewise
    config: HttpConfig,
    context: ChannelContext,
    intake: Intake,
    state: ChannelState,
    agents: Agents,
    random: Random,
    transcript: Transcript,
) -> HttpServer:
    rooms = Rooms(
        context.name,
        transcript,
        intake,
        context.clock,
        random,
        context.assistant_name,
        frozenset(config.chats),
    )
    return HttpServer(
        config,
        rooms,
        Files(context.folder, transcript, context.clock),
        Keys(state),
        state,
        agents,
        context.clock,
        random,
        Rates(config.requests_a_minute),
    )
