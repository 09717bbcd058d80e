"""The noun `questions`."""

from collections.abc import Sequence

from attrs import frozen

from nanoclaw.operations.declaration import operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import QuestionRef
from nanoclaw.records import Address, PendingQuestion
from nanoclaw.registry import CreateQuestion, DeleteQuestion
from nanoclaw.store import NotFound, pending_questions

COLUMNS = ("question_id", "agent", "title", "options", "created_at")


@frozen
class Questions(Noun):
    """Cards with buttons that wait for an answer."""

    name = "questions"
    summary = "cards with buttons that wait for an answer"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[PendingQuestion]:
        """List the questions that wait, the oldest first."""
        return await self._central.run(pending_questions.every)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, question: QuestionRef) -> PendingQuestion:
        """Show a question that waits.

        Args:
            question: its id.
        """
        found = await self.get(question)
        if found is None:
            raise NotFound(f"there is no question {question!r:.140}")
        return found

    @operation(right=Right.ADMIN, asks="Delete question {question}? Its agent gets no answer.")
    async def delete(self, question: QuestionRef) -> PendingQuestion:
        """Delete a question: its agent gets no answer.

        Args:
            question: its id.
        """
        return await self._registry.ask(DeleteQuestion(question))

    # -- for embedders

    async def create(  # noqa: PLR0913 -- the parts of a card, by name
        self,
        question_id: str,
        session_id: str,
        message_out_id: str,
        *,
        title: str,
        options: Sequence[object],
        address: Address | None = None,
    ) -> bool:
        """Record a question; False if it is recorded. Raises `NotFound`."""
        return await self._registry.ask(
            CreateQuestion(question_id, session_id, message_out_id, address, title, options)
        )

    async def get(self, question_id: str) -> PendingQuestion | None:
        """The question with that id, while it waits."""
        return await self._central.run(pending_questions.get, question_id)

    async def for_session(self, session_id: str) -> Sequence[PendingQuestion]:
        """A session's questions, the oldest first."""
        return await self._central.run(pending_questions.for_session, session_id)
