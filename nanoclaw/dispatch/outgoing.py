"""Reads the content and files of outgoing rows. A hostile container may have written both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from shutil import rmtree

import trio
from attrs import frozen

from nanoclaw.config import Config
from nanoclaw.records import OutgoingContent, OutgoingFile, TextContent
from nanoclaw.records.content import load_outgoing
from nanoclaw.session.services import Conversation
from nanoclaw.store import Executor
from nanoclaw.store.session.media import sending_folder
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.outbox import copy_files


@frozen
class Outbox:
    """Reads the content and files of rows."""

    config: Config
    executor: Executor

    @asynccontextmanager
    async def opened(
        self, conversation: Conversation, row: MessageOut
    ) -> AsyncIterator[tuple[OutgoingContent, tuple[OutgoingFile, ...]]]:
        """Yield a row's content, and copies of the files that it names. The exit removes the copies.

        Raises:
            BadContent: the content is not JSON, or has no known shape.
            BadAttachment: a file is missing or is not a regular file.
            StoreUnavailable: the files cannot be copied now.
        """
        content = load_outgoing(row.content)
        if not isinstance(content, TextContent) or not content.files:
            yield content, ()
            return
        outbox, names = conversation.paths(self.config).outbox, content.files
        folder = await self.executor.run(partial(sending_folder, self.config.data))
        try:
            copy = partial(copy_files, outbox, row.id, names, folder)
            yield content, await self.executor.run(copy, lane="untrusted")
        finally:
            with trio.CancelScope(shield=True):
                await self.executor.run(partial(rmtree, folder, ignore_errors=True))
