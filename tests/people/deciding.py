"""Decides approvals of a world, as a person or an administrator does."""

from nanoclaw.records import PendingApproval
from nanoclaw.registry import DecideApproval
from nanoclaw.testing import World


async def open_requests(world: World) -> list[PendingApproval]:
    """Return the requests that wait for a decision."""
    return list(await world.host.admin.approvals.list("pending"))


async def decide(world: World, choice: str, by: str | None = None) -> None:
    """Decide the only open request."""
    [approval] = await open_requests(world)
    await world.host.registry.ask(
        DecideApproval(approval.approval_id, by=by, choice=choice, unlimited=by is None)
    )
