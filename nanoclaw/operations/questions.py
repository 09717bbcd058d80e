"""The noun `questions`."""

from collections.abc import Sequence

from attrs import frozen

from nanoclaw.approvals import close
from nanoclaw.operations.declaration import operation
from nanoclaw.operations.errors import BadArguments, Unavailable
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import QuestionRef
from nanoclaw.records import QUESTION_EXPIRES_S, Address, Answer, Answerer, Closing, PendingQuestion
from nanoclaw.records.content import BadContent, dump_parked, load_options
from nanoclaw.registry import CreateQuestion, ParkEvent
from nanoclaw.session.conversations import conversation
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection, NotFound
from nanoclaw.store.central import pending_questions, sessions

COLUMNS = ("question_id", "agent", "title", "options", "who", "asker", "expires_at")


@frozen
class Questions(Noun):
    """Cards with buttons that wait for an answer."""

    name = "questions"
    summary = "cards with buttons that wait for an answer"
    table = "pending_questions"

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

    @operation(
        right=Right.ADMIN, asks="Delete question {question}? Its agent is told that nobody will answer."
    )
    async def delete(self, question: QuestionRef) -> PendingQuestion:
        """Delete a question: its agent stops waiting, and is told that nobody will answer.

        Args:
            question: its id.
        """
        found = await self._central.run(pending_questions.require, question)
        who = await self._central.run(_waiting, found)
        if who is not None and not await self._tell(who, found):
            return found
        await close(self._registry, _closing(found))
        return found

    async def _tell(self, who: Conversation, question: PendingQuestion) -> bool:
        """Store the answer before the question is deleted. False: it was parked, and the question is deleted.

        So an agent never waits for a question that does not exist, whichever process dies in between.
        """
        answer = _withdrawal(question)
        try:
            await self._ground.sessions.answer(who, answer)
        except Unavailable as error:
            parked = ParkEvent(who.session.id, dump_parked(answer), str(error), _closing(question))
            await self._registry.ask(parked)
            return False
        return True

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
        question: str = "",
        who: Answerer = "member",
        asker: str | None = None,
        multiple: bool = False,
        free_text: bool = False,
        expires_s: int | None = QUESTION_EXPIRES_S,
    ) -> bool:
        """Record a question; return False if it is recorded already. Raises `NotFound`, `BadArguments`."""
        try:
            if options:
                load_options(list(options))
        except (BadContent, TypeError) as error:
            raise BadArguments(f"options of question {question_id!r:.140}: {error}") from error
        return await self._registry.ask(
            CreateQuestion(
                question_id,
                session_id,
                message_out_id,
                address,
                title,
                options,
                question,
                who,
                asker,
                multiple,
                free_text,
                expires_s,
            )
        )

    async def get(self, question_id: str) -> PendingQuestion | None:
        """Return the question with that id, while it waits."""
        return await self._central.run(pending_questions.get, question_id)

    async def for_session(self, session_id: str) -> Sequence[PendingQuestion]:
        """Return a session's questions, the oldest first."""
        return await self._central.run(pending_questions.for_session, session_id)


def _waiting(connection: Connection, question: PendingQuestion) -> Conversation | None:
    """Return the conversation that waits for an answer; None if it is over."""
    session = sessions.require(connection, question.session_id)
    return None if session.status == "archived" else conversation(connection, session)


def _closing(question: PendingQuestion) -> Closing:
    return Closing(question.question_id, "withdrawn")


def _withdrawal(question: PendingQuestion) -> Answer:
    where = Address(question.channel_type or "", question.platform_id or "", question.thread_id)
    return Answer(question.message_out_id, question.question_id, "", "", where, withdrawn=True)
