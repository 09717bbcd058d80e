"""Reads the content and files of outgoing rows. A hostile container may have written both."""

from attrs import frozen

from nanoclaw.config import Config
from nanoclaw.records import OutgoingContent, OutgoingFile, TextContent
from nanoclaw.records.content import load_outgoing
from nanoclaw.session.services import Conversation
from nanoclaw.store import Executor
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.outbox import read_files


@frozen
class Outbox:
    """Reads the content and files of rows."""

    config: Config
    executor: Executor

    async def read(
        self, conversation: Conversation, row: MessageOut
    ) -> tuple[OutgoingContent, tuple[OutgoingFile, ...]]:
        """Return a row's content and the files that it names.

        Raises:
            BadContent: the content is not JSON, or has no known shape.
            BadAttachment: a file is missing or is not a regular file.
        """
        content = load_outgoing(row.content)
        if not isinstance(content, TextContent) or not content.files:
            return content, ()
        outbox = conversation.paths(self.config).outbox
        names = content.files
        return content, await self.executor.run(lambda: read_files(outbox, row.id, names), lane="untrusted")
