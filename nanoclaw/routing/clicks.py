"""Clicks on buttons of cards. A valid click goes to the session that asked; any other is dropped."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime

import structlog
import trio
from attrs import evolve, frozen

from actors import Ref
from nanoclaw.approvals import Given, close, given_by_text, given_by_value, named
from nanoclaw.approvals.deciding import options_of
from nanoclaw.records import (
    DONE,
    Address,
    Answer,
    Clicked,
    ClosedQuestion,
    Closing,
    Option,
    PendingQuestion,
    Routed,
    Said,
)
from nanoclaw.records.approvals import CODE_DIGITS, Decision
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import ChooseOption, DecideApproval, ParkEvent, Registry
from nanoclaw.routing.access import refusal
from nanoclaw.routing.drops import Drop, Drops
from nanoclaw.routing.engagement import listens_to
from nanoclaw.routing.waiting_files import WaitingFiles
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.session.conversations import conversation
from nanoclaw.store import Connection, DamagedRow, NotFound, OperationRefused
from nanoclaw.store.central import (
    approval_cards,
    closed_questions,
    messaging_groups,
    pending_approvals,
    pending_questions,
    people,
    sessions,
    user_roles,
    users,
    wirings,
)
from nanoclaw.store.central.people import identities

CLICK = "click: "
"""The beginning of the reasons for dropping clicks, as they are counted."""
MAX_REASON = 200
NOT_OPEN = "the question is not open: it was never asked here, or was closed long ago"
ANSWERED = "the question was answered already"
ANSWERED_BEFORE = "the message has answered something already"
NOT_YET = "choose at least one option first"

LONGEST_ANSWER = 200
"""Limit in characters of a message that may be the answer to a card."""

_log = structlog.get_logger()


@frozen
class ValidClick:
    """A valid answer, how it closes the question, and the conversation that asked."""

    answer: Answer
    conversation: Conversation
    closing: Closing


@frozen
class Choice:
    """A valid click that changes the choice of several options."""

    question_id: str
    value: str


@frozen
class CardClick:
    """A click on the card of an approval. The registry decides, and checks the rest."""

    decision: Decision
    message_id: str | None = None
    """The message that names the choice, if the channel has no buttons."""


@frozen
class DroppedClick:
    """A dropped click and the reason. `agent_group_id` is the agent that the user may not answer."""

    reason: str
    agent_group_id: str | None = None


@frozen
class Answering:
    """An answer to a question, before it is checked."""

    question_id: str
    user_id: str
    given: Given


@frozen
class Shows:
    """How channels show questions."""

    with_buttons: AbstractSet[str] = frozenset()
    """The types of channels that show cards with buttons. In other chats a message answers a question."""
    with_card_edits: AbstractSet[str] = frozenset()
    """The types of channels that can show a changed card, and so a choice of several options."""

    def numbered(self, question: PendingQuestion) -> bool:
        """Return True if the options of a question were shown as a numbered text."""
        type_ = question.channel_type
        return type_ not in self.with_buttons or (question.multiple and type_ not in self.with_card_edits)


@frozen
class WaitingCard:
    """The card of an approval that waits in a chat."""

    approval_id: str
    options: tuple[Option, ...]
    created_at: datetime
    code: str
    """What an answer in writing must end with: an agent might talk somebody into writing a number."""


Waiting = PendingQuestion | WaitingCard
"""A question or the card of an approval that waits in a chat."""


def waiting_in(connection: Connection, address: Address) -> tuple[Waiting, ...]:
    """Return what waits for an answer in a chat, newest first. Damaged rows are left out."""
    found: list[Waiting] = [*pending_questions.in_chat(connection, address), *_cards(connection, address)]
    return tuple(sorted(found, key=lambda each: each.created_at, reverse=True))


def _cards(connection: Connection, address: Address) -> Iterator[WaitingCard]:
    for card in approval_cards.in_chat(connection, address):
        with suppress(DamagedRow):
            approval = pending_approvals.require(connection, card.approval_id)
            sent_at = card.started_at or approval.created_at
            yield WaitingCard(card.approval_id, options_of(approval), sent_at, card.code)


def as_answer(event: Said, waiting: Iterable[Waiting], shows: Shows) -> Answering | CardClick | None:
    """Return the message as an answer, or None if it answers nothing that waits.

    An edit of an earlier message answers nothing, and neither does a message with files.
    """
    message = event.message
    if message.sender_id is None or message.attachments or event.version:
        return None
    for question in waiting:
        if isinstance(question, WaitingCard):
            if event.address.channel_type in shows.with_buttons:
                continue
            if chosen := _chosen(question, message.text):
                decision = Decision(question.approval_id, chosen.value, message.sender_id)
                return CardClick(decision, event.message_id)
            continue
        numbered = shows.numbered(question)
        if numbered or question.free_text:
            given = given_by_text(question, message.text, numbered=numbered)
            if given is not None:
                return Answering(question.question_id, message.sender_id, given)
    return None


def _chosen(card: WaitingCard, text: str) -> Option | None:
    """Return the option of a card that a message names, before the card's code.

    A number is never a label: agents choose their names, and these may be the labels of a card.
    """
    name, code = _name_and_code(text)
    if code != card.code:
        return None
    by_number = {str(n): option for n, option in enumerate(card.options, 1)}
    return by_number.get(name) if name.isdecimal() else named(card.options, name, numbered=False)


def has_code(text: str) -> bool:
    """Return True if a message ends like the answer to a card, so that it may be one that came before."""
    _, code = _name_and_code(text)
    return len(text) <= LONGEST_ANSWER and len(code) == CODE_DIGITS and code.isdecimal()


def _name_and_code(text: str) -> tuple[str, str]:
    """Return the parts of the answer to a card: the number or label of an option, and the code."""
    name, _, code = text.strip().rpartition(" ")
    return name.strip(), code


def check_click(connection: Connection, click: Clicked) -> ValidClick | Choice | CardClick | DroppedClick:
    """Check a click against the central database. Every value in the click may be forged."""
    if card := _on_card(connection, click):
        return card
    question = _open(connection, click.question_id, click.user_id, click.address)
    if isinstance(question, DroppedClick):
        return question
    given = _given(question, click)
    if isinstance(given, DroppedClick):
        return given
    found = _of_session(connection, question, click.user_id, given)
    if question.multiple and click.text is None and click.value != DONE and isinstance(found, ValidClick):
        return Choice(question.question_id, click.value)
    return found


def _on_card(connection: Connection, click: Clicked) -> CardClick | DroppedClick | None:
    """Return a click on the card of an approval, or None if it is on no such card."""
    where = (click.address.channel_type, click.address.platform_id)
    cards = approval_cards.of_approval(connection, click.question_id)
    if not cards:
        return None
    if not any((card.channel_type, card.platform_id) == where for card in cards):
        return DroppedClick("the card was sent to another chat")
    return CardClick(Decision(click.question_id, click.value, click.user_id))


def check_answer(connection: Connection, answering: Answering, address: Address) -> ValidClick | DroppedClick:
    """Check a message that names an answer against the central database."""
    question = _open(connection, answering.question_id, answering.user_id, address)
    if isinstance(question, DroppedClick):
        return question
    return _of_session(connection, question, answering.user_id, answering.given)


def _open(
    connection: Connection, question_id: str, user_id: str, address: Address
) -> PendingQuestion | DroppedClick:
    try:
        question = pending_questions.get(connection, question_id)
        found = question or closed_questions.get(connection, question_id)
    except DamagedRow as error:
        return DroppedClick(str(error))
    if found is None:
        return DroppedClick(NOT_OPEN)
    if (found.channel_type, found.platform_id) != (address.channel_type, address.platform_id):
        return DroppedClick("the question was asked in another chat")
    if isinstance(found, ClosedQuestion):
        return DroppedClick(_why_closed(connection, found, user_id))
    return found


def _why_closed(connection: Connection, closed: ClosedQuestion, user_id: str) -> str:
    match closed.how:
        case "expired":
            return "the question has expired: nobody answered in time"
        case "withdrawn":
            return "the question was withdrawn: no answer is needed any more"
        case "answered":
            answer = f": {closed.answer:.200}" if closed.answer else ""
            if closed.by_user == user_id:
                return f"you have answered the question already{answer}"
            by = f" by {users.name_of(connection, closed.by_user)}" if closed.by_user else ""
            return f"{ANSWERED}{by}{answer}"


def _given(question: PendingQuestion, click: Clicked) -> Given | DroppedClick:
    if click.text is not None:
        return _given_text(question, click.text)
    if question.multiple and click.value == DONE:
        chosen = given_by_value(question, *question.chosen)
        return chosen if chosen and chosen.options else DroppedClick(NOT_YET)
    return given_by_value(question, click.value) or DroppedClick("the question has no such answer")


def _given_text(question: PendingQuestion, text: str) -> Given | DroppedClick:
    if not question.free_text:
        return DroppedClick("the question takes no text: choose one of its options")
    return Given(text=text.strip()) if text.strip() else DroppedClick("the text is empty")


def _of_session(
    connection: Connection, question: PendingQuestion, user_id: str, given: Given
) -> ValidClick | DroppedClick:
    session = sessions.require(connection, question.session_id)
    if session.status == "archived":
        return DroppedClick("the conversation that asked is over")
    answer = _answer(question, user_id, given)
    refused = _refused(connection, session.agent_group_id, answer) or _not_for(
        connection, question, session.agent_group_id, user_id
    )
    closing = Closing(question.question_id, "answered", user_id, given.words)
    return refused or ValidClick(answer, conversation(connection, session), closing)


def _answer(question: PendingQuestion, user_id: str, given: Given) -> Answer:
    values = tuple(option.value for option in given.options)
    return Answer(
        question.message_out_id,
        question.question_id,
        ", ".join(values) if given.text is None else given.text,
        user_id,
        address_of(question),
        values=values if question.multiple and given.text is None else (),
        free_text=given.text is not None,
    )


def address_of(question: PendingQuestion) -> Address:
    """Return the chat and thread in which a question was asked."""
    return Address(question.channel_type or "", question.platform_id or "", question.thread_id)


def _not_for(
    connection: Connection, question: PendingQuestion, agent_group_id: str, user_id: str
) -> DroppedClick | None:
    """Return the reason why the question is not for a user whom the agent hears, or None."""
    if question.who == "asker" and question.asker not in people.identities(connection, user_id):
        return DroppedClick(f"only {users.name_of(connection, question.asker or '')} may answer the question")
    if question.who == "admin" and not user_roles.may_administer(connection, user_id, agent_group_id):
        return DroppedClick("only an administrator of the agent may answer the question")
    return None


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
        if all(listens_to(wiring, *identities(connection, user)) for wiring in wired)
        else DroppedClick("the agent does not listen to the user")
    )


@frozen
class Clicks:
    """Delivers answers to sessions. An answer is on disk before its question is closed."""

    registry: Ref[Registry]
    sessions: Sessions
    drops: Drops
    files: WaitingFiles

    async def drop(self, click: Clicked | Answering, dropped_click: DroppedClick) -> Routed:
        """Log the reason for dropping a click or an answer, and count a dropped click."""
        _log.info(
            "routing.click_dropped",
            question=click.question_id,
            user=click.user_id,
            reason=dropped_click.reason,
        )
        if isinstance(click, Clicked):
            self.count(click, dropped_click.reason, dropped_click.agent_group_id)
        await trio.lowlevel.checkpoint()
        return Routed(dropped=dropped_click.reason)

    def count(self, click: Clicked, reason: str, agent_group_id: str | None = None) -> None:
        """Count a click as dropped."""
        counted = f"{CLICK}{reason[:MAX_REASON]}"
        self.drops.count(Drop(click.address, click.user_id, None, counted, agent_group_id=agent_group_id))

    async def decide(self, click: CardClick) -> Routed:
        """Decide an approval. It is decided and applied when this returns."""
        decision = click.decision
        decide = DecideApproval(
            decision.approval_id, by=decision.by, choice=decision.choice, message_id=click.message_id
        )
        try:
            await self.registry.ask(decide)
        except OperationRefused as error:
            _log.info(
                "routing.click_dropped",
                question=decision.approval_id,
                user=decision.by,
                reason=str(error),
            )
            return Routed(dropped=str(error))
        return Routed()

    async def choose(self, click: Clicked, choice: Choice) -> Routed:
        """Store a change of the choice. The card follows."""
        try:
            await self.registry.ask(ChooseOption(choice.question_id, choice.value, click.event_id))
        except NotFound:
            return await self.drop(click, DroppedClick(ANSWERED))
        return Routed()

    async def store(self, click: Clicked | Answering, valid: ValidClick) -> Routed:
        """Deliver the answer to its session, or park it if the session is down."""
        answer, session_id = valid.answer, valid.conversation.session.id
        try:
            new = await self.sessions.accept(valid.conversation, answer)
        except SessionDown as error:
            return await self._park(click, valid, str(error))
        closing = valid.closing if new else Closing(answer.question_id, "answered")
        said = None if answer.said is None else answer.said.message_id
        await close(self.registry, evolve(closing, message_id=said))
        if not new:
            return await self.drop(click, DroppedClick(ANSWERED))
        return Routed((session_id,), (answer.message_id,))

    async def _park(self, click: Clicked | Answering, valid: ValidClick, reason: str) -> Routed:
        answer, session_id = valid.answer, valid.conversation.session.id
        _log.warning("routing.parked", session=session_id, reason=reason)
        try:
            said = None if answer.said is None else answer.said.message_id
            closing = evolve(valid.closing, message_id=said)
            async with self.files.kept(answer) as kept:
                await self.registry.ask(ParkEvent(session_id, dump_parked(kept), reason, closing))
        except NotFound:
            return await self.drop(click, DroppedClick(ANSWERED))
        self.sessions.replay(valid.conversation)
        return Routed((session_id,), (answer.message_id,))
