"""Changes sessions of a running host through their actors."""

from typing import Any

from attrs import frozen

from actors import Crashed, Stopped
from nanoclaw.operations.errors import Unavailable
from nanoclaw.records import Answer
from nanoclaw.records.status import SessionDetails
from nanoclaw.session import SessionDown, Sessions
from nanoclaw.session.administration import ChangeTask, RestartRunner, TaskChange, TaskVerb
from nanoclaw.session.services import Conversation

DESCRIBED_WITHIN_S = 1.0
"""Maximum seconds that a hung session delays a list."""


@frozen
class LivingSessions:
    """The sessions of a running host. A change starts the actor of a session at rest."""

    sessions: Sessions
    alive: bool = True

    async def describe(self, session_id: str) -> SessionDetails | None:
        """Ask the session's actor, if it runs."""
        return await self.sessions.status(session_id, DESCRIBED_WITHIN_S)

    async def change_task(self, who: Conversation, verb: TaskVerb, task_id: str) -> TaskChange:
        """Change a task through the session's actor."""
        change: TaskChange = await self._ask(who, ChangeTask(verb, task_id))
        return change

    async def answer(self, who: Conversation, answer: Answer) -> bool:
        """Store an answer through the session's actor."""
        try:
            return await self.sessions.accept(who, answer)
        except SessionDown as error:
            raise Unavailable(str(error)) from error

    async def restart_runner(self, who: Conversation) -> bool:
        """Restart the runner, if the session's actor runs."""
        return self.state(who.session.id) is not None and bool(await self._ask(who, RestartRunner()))

    async def _ask(self, who: Conversation, message: Any) -> Any:
        try:
            return await self.sessions.ref(who).ask(message)
        except (Crashed, Stopped) as error:
            raise Unavailable(f"session {who.session.id} cannot do that now: {error}") from error

    def state(self, session_id: str) -> str | None:
        """Return the state of the session's actor."""
        nodes = self.sessions.nodes()
        return next((str(node.state) for node in nodes if node.name == session_id), None)
