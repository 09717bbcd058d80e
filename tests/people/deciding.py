"""Decides approvals of a world, as a person or an administrator does."""

from attrs import evolve, frozen

from nanoclaw.approvals.kind import REJECTS
from nanoclaw.approvals.kinds.chat import AdmitChat
from nanoclaw.approvals.kinds.sender import AdmitSender
from nanoclaw.records import PendingApproval
from nanoclaw.registry import Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import pending_approvals
from nanoclaw.testing import World

KINDS = {kind.action: kind for kind in (AdmitSender(), AdmitChat())}


@frozen
class Decide:
    approval_id: str
    choice: str
    by: str | None

    async def handle(self, actor: Registry) -> None:
        await actor.commit(self._decide, actor)
        actor.changes.tell_admitted()

    def _decide(self, connection: Connection, actor: Registry) -> None:
        status = "rejected" if self.choice in REJECTS else "approved"
        now = actor.clock.now()
        decided = pending_approvals.decide(connection, self.approval_id, status, self.by, now)
        KINDS[decided.action].apply(connection, evolve(decided, choice=self.choice))


async def open_requests(world: World) -> list[PendingApproval]:
    return list(await world.host.admin.approvals.list("pending"))


async def decide(world: World, choice: str, by: str | None = None) -> None:
    """Decide the only open request."""
    [approval] = await open_requests(world)
    await world.host._ground.registry.ask(Decide(approval.approval_id, choice, by))
