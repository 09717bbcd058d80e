"""Clicks on buttons of cards. A valid click goes to the session that asked; any other is dropped."""

from collections.abc import Iterable

import structlog
import trio
from attrs import frozen

from actors import Ref
from nanoclaw.approvals import option_by_text, option_by_value, withdraw
from nanoclaw.records import Address, Answer, Clicked, InboundEvent, PendingQuestion, Routed
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import ParkEvent, Registry
from nanoclaw.routing.access import listens_to, refusal
from nanoclaw.routing.drops import Drop, Drops
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.session.conversations import conversation
from nanoclaw.store import Connection, DamagedRow, NotFound
from nanoclaw.store.central import messaging_groups, pending_questions, sessions, wirings

CLICK = "click: "
"""The beginning of the reasons for dropping clicks, as they are counted."""
MAX_REASON = 200
ANSWERED = "the question is not open: it was answered already, or never asked"

_log = structlog.get_logger()


@frozen
class ValidClick:
    """A valid click: the answer, and the conversation that asked."""

    answer: Answer
    conversation: Conversation


@frozen
class DroppedClick:
    """A dropped click and the reason. `agent_group_id` is the agent that the user may not answer."""

    reason: str
    agent_group_id: str | None = None


def waiting_questions(connection: Connection, address: Address) -> tuple[PendingQuestion, ...]:
    """Return the questions that wait in a chat, newest first. Damaged ones are left out."""
    return tuple(pending_questions.in_chat(connection, address))


def as_click(event: InboundEvent, waiting: Iterable[PendingQuestion]) -> Clicked | None:
    """Return the message as a click, or None if it answers no waiting question."""
    sender = event.message.sender_id
    if sender is None or event.message.attachments:
        return None
    for question in waiting:
        value = option_by_text(question, event.message.text)
        if value is not None:
            return Clicked(event.address, event.event_id, question.question_id, value, sender)
    return None


def check_click(connection: Connection, click: Clicked) -> ValidClick | DroppedClick:
    """Check a click against the central database. Every value in the click may be forged."""
    try:
        question = pending_questions.get(connection, click.question_id)
    except DamagedRow as error:
        return DroppedClick(str(error))
    if question is None:
        return DroppedClick(ANSWERED)
    where = Address(question.channel_type or "", question.platform_id or "", question.thread_id)
    if (where.channel_type, where.platform_id) != (click.address.channel_type, click.address.platform_id):
        return DroppedClick("the question was asked in another chat")
    value = option_by_value(question, click.value)
    if value is None:
        return DroppedClick("the question has no such answer")
    answer = Answer(question.message_out_id, question.question_id, value, click.user_id, where)
    return _of_session(connection, question, answer)


def _of_session(
    connection: Connection, question: PendingQuestion, answer: Answer
) -> ValidClick | DroppedClick:
    session = sessions.require(connection, question.session_id)
    if session.status == "archived":
        return DroppedClick("the conversation that asked is over")
    refused = _refused(connection, session.agent_group_id, answer)
    return refused or ValidClick(answer, conversation(connection, session))


def _refused(connection: Connection, agent_group_id: str, answer: Answer) -> DroppedClick | None:
    """Return the reason why a user may not answer, or None. The rules for messages in that chat apply."""
    address, user = answer.address, answer.user_id
    chat = messaging_groups.by_address(connection, address.channel_type, address.platform_id)
    if chat is None:
        return DroppedClick("the chat is not known here")
    reason = refusal(connection, chat, agent_group_id, user)
    if reason is not None:
        return DroppedClick("the user is not known here", agent_group_id)
    found, damaged = wirings.split_for_chat(connection, chat.id)
    if damaged:  # it may be the wiring that says who is heard
        return DroppedClick(str(damaged[0]))
    wired = [each for each in found if each.agent_group_id == agent_group_id]
    return (
        None
        if all(listens_to(connection, wiring, user) for wiring in wired)
        else DroppedClick("the agent does not listen to the user")
    )


@frozen
class Clicks:
    """Delivers answers to sessions. An answer is on disk before its question is deleted."""

    registry: Ref[Registry]
    sessions: Sessions
    drops: Drops

    async def drop(self, click: Clicked, dropped_click: DroppedClick) -> Routed:
        """Log and count a dropped click."""
        _log.info(
            "routing.click_dropped",
            question=click.question_id,
            user=click.user_id,
            reason=dropped_click.reason,
        )
        reason, agent = f"{CLICK}{dropped_click.reason[:MAX_REASON]}", dropped_click.agent_group_id
        self.drops.count(Drop(click.address, click.user_id, None, reason, agent_group_id=agent))
        await trio.lowlevel.checkpoint()
        return Routed(dropped=dropped_click.reason)

    async def store(self, click: Clicked, valid: ValidClick) -> Routed:
        """Deliver the answer to its session, or park it if the session is down."""
        answer, session_id = valid.answer, valid.conversation.session.id
        try:
            new = await self.sessions.accept(valid.conversation, answer)
        except SessionDown as error:
            return await self._park(click, valid, str(error))
        await withdraw(self.registry, answer.question_id)
        if not new:
            return await self.drop(click, DroppedClick(ANSWERED))
        return Routed((session_id,), (answer.message_id,))

    async def _park(self, click: Clicked, valid: ValidClick, reason: str) -> Routed:
        answer, session_id = valid.answer, valid.conversation.session.id
        _log.warning("routing.parked", session=session_id, reason=reason)
        try:
            parked = dump_parked(answer)
            await self.registry.ask(ParkEvent(session_id, parked, reason, answer.question_id))
        except NotFound:
            return await self.drop(click, DroppedClick(ANSWERED))
        self.sessions.replay(valid.conversation)
        return Routed((session_id,), (answer.message_id,))
