"""The content of an outgoing row, and its files, all of which a hostile container may have written."""

from attrs import frozen

from nanoclaw.config import Config
from nanoclaw.content import load_outgoing
from nanoclaw.records import OutgoingContent, OutgoingFile, TextContent
from nanoclaw.session.services import Conversation
from nanoclaw.store import Executor
from nanoclaw.store.outbound import MessageOut
from nanoclaw.store.outbox import read_files


@frozen
class Outbox:
    """Reads what rows carry."""

    config: Config
    executor: Executor

    async def read(
        self, conversation: Conversation, row: MessageOut
    ) -> tuple[OutgoingContent, tuple[OutgoingFile, ...]]:
        """Read a row's content, and the files that it names.

        Raises:
            BadContent: the content is not JSON, or of no known shape.
            BadAttachment: a file is missing, or is none.
        """
        content = load_outgoing(row.content)
        if not isinstance(content, TextContent) or not content.files:
            return content, ()
        outbox = conversation.paths(self.config).outbox
        names = content.files
        return content, await self.executor.run(lambda: read_files(outbox, row.id, names), lane="untrusted")
