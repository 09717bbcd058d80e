"""The conversation in the form that all providers share, so that a session may change its provider.

Claude Code keeps the conversation by itself. What other providers said meanwhile is told to it as a note. Its
own turns are written into the shared history, shortened.
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from agent_runner.loop.compaction import transcript
from agent_runner.loop.conversation import FilePart, Message, Said, asked
from agent_runner.loop.history import History, key_of, read_history, shortened
from agent_runner.prompt import attachments
from agent_runner.prompt.markup import body, element
from agent_runner.providers.context import ProviderContext
from agent_runner.records import Inbound

LONGEST_NOTE = 60_000
"""Characters of a note about an earlier conversation."""
LONGEST_TEXT = 4_000
"""Characters of a text in the shared history. Claude Code has it whole."""


@frozen
class Memory:
    """The shared history of a session."""

    history: History

    @property
    def last_key(self) -> str:
        """The key of the turn that comes next."""
        return key_of(self.history.last + 1)

    def note(self, seen: str) -> str:
        """Return what Claude Code does not know: the turns after the key `seen`. Empty if there are none."""
        unseen = [turn for turn in self.history.turns if key_of(turn.number) > seen]
        if not unseen:
            return ""
        return element("earlier-conversation", f"\n{body(transcript(unseen), LONGEST_NOTE)}\n")

    def with_turn(
        self, context: ProviderContext, text: str, messages: Sequence[Inbound], answer: str
    ) -> Mapping[str, str | None]:
        """Return the changes of the state that add a turn."""
        files = [
            FilePart(file.name, file.path, file.media_type)
            for message in messages
            for file in attachments(context, message)
        ]
        said: Sequence[Message] = (asked(text, *files), Said(answer))
        return self.history.after_turn([shortened(each, LONGEST_TEXT) for each in said])


def read_memory(state: Mapping[str, str]) -> Memory:
    """Read the shared history of a session's state. It never fails."""
    return Memory(read_history(state))
