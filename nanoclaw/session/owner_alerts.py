"""Tells the owner the alerts about budgets and packages, by a notice in a session of theirs.

An alert is a row of the central database. The session that tells it is chosen first, in a commit. That
session stores the notice under the alert's id. So a crash at any point neither loses an alert nor doubles it.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import structlog
import trio
from attrs import frozen

from actors import ActorError
from nanoclaw.budgets import BudgetKeeper
from nanoclaw.records import Address, BudgetAlert
from nanoclaw.registry import AlertTold, ChooseTeller
from nanoclaw.session.conversations import open_conversations
from nanoclaw.session.directory import SessionDown, Sessions
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store import Connection, StoreError
from nanoclaw.store.central import budgets, messaging_groups, user_dms, user_roles

AGAIN_S = 60.0
"""Delay in seconds before an alert that could not be told is tried again."""
TERMINAL = "cli"
"""The channel whose chat is the owner's own."""

_log = structlog.get_logger()


@frozen
class _Work:
    """The alerts that the owner was not told yet, and the sessions that may tell them, the best first."""

    alerts: Sequence[BudgetAlert]
    tellers: Sequence[Conversation]


def _work(connection: Connection, day: str) -> _Work:
    yesterday = (date.fromisoformat(day) - timedelta(days=1)).isoformat()  # one may be written after midnight
    alerts = budgets.untold(connection, yesterday)
    return _Work(alerts, list(_tellers(connection)) if alerts else [])


def _tellers(connection: Connection) -> Iterator[Conversation]:
    """Yield the open sessions in a chat of an owner: first direct chats on networks, then the terminal."""
    owners = [role.user_id for role in user_roles.every(connection) if role.role == "owner"]
    direct = {dm.messaging_group_id for owner in owners for dm in user_dms.for_user(connection, owner)}
    names = {*owners, *(owner.partition(":")[2] for owner in owners)}  # some networks name the chat so
    found, terminals = open_conversations(connection).usable, list[Conversation]()
    for each in found:
        group = messaging_groups.get(connection, each.session.messaging_group_id or "")
        if group is None or group.is_group:
            continue
        if group.channel_type == TERMINAL:
            terminals.append(each)
        elif group.id in direct or group.platform_id in names:
            yield each
    yield from terminals


async def tell_owner(services: Services, living: Sessions) -> None:
    """Tell each alert once it is on disk, until cancelled. One that cannot be told now is tried again."""
    while True:
        left = await _tell_all(services, living)
        with trio.move_on_after(AGAIN_S) if left else trio.CancelScope():
            await services.changes.alerts_stored()


async def _tell_all(services: Services, living: Sessions) -> bool:
    """Return True if alerts are left."""
    keeper: BudgetKeeper = services.budgets
    try:
        work = await services.central.run(_work, keeper.day)
        for alert in work.alerts:
            if not await _tell(services, living, alert, work.tellers):
                return True
    except (StoreError, ActorError, SessionDown) as error:
        _log.warning("budgets.owner_not_told", reason=str(error), again_in_s=AGAIN_S)
        return True
    return False


async def _tell(
    services: Services, living: Sessions, alert: BudgetAlert, tellers: Sequence[Conversation]
) -> bool:
    chosen = next((each for each in tellers if each.session.id == alert.session_id), None)
    if chosen is None:
        chosen = next(iter(tellers), None)
        if chosen is None:
            return False  # the owner has no chat yet; `status` shows it
        await services.registry.ask(ChooseTeller(alert.id, chosen.session.id))
    address = chosen.chat
    assert isinstance(address, Address)  # noqa: S101 -- only sessions with a chat tell
    await living.tell_owner(chosen, address, f"owner-{alert.id}", alert.text)
    await services.registry.ask(AlertTold(alert.id))
    return True
