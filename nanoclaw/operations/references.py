"""Resolves the names that people use to ids.

An agent is known by its folder, name or id; a chat by `channel:platform_id`, name or id; a session by its id
or its chat, with `/thread` after it. A unique prefix of an id is enough, except for users: `tg:12` is not
`tg:123`. Others choose the names of users and chats. So a user is never known by a name, and a chat's name
never counts as an address.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from nanoclaw.config.nearest import nearest
from nanoclaw.operations.declaration import Kind
from nanoclaw.records import AgentGroup, MessagingGroup, Session, Wiring
from nanoclaw.store import Connection, NotFound
from nanoclaw.store import OperationRefused as StoreRefused
from nanoclaw.store.central import (
    agent_groups,
    messaging_groups,
    pending_approvals,
    pending_questions,
    sessions,
    users,
    wirings,
)

SHOWN = 80
"""Characters of a name that are shown in an error."""
NAMED = 5
LEAST_PREFIX = 3
"""Minimum characters of an id's prefix: fewer would be a guess."""


class Ambiguous(StoreRefused):
    """A name matches several things. The text lists them."""


@frozen
class Found:
    """The thing that a name means: its id, and the agent whose admins may manage it."""

    id: str
    agent_ids: tuple[str, ...] = ()


@frozen
class Candidate:
    """A thing that a name may mean, with every form of its name."""

    id: str
    keys: tuple[str, ...] = ()
    """Unique names, which count like its id."""
    name: str = ""
    """Its name for people; others may have the same name."""
    agent_ids: tuple[str, ...] = ()
    shown: str = ""
    """Its name in a list of several; empty: its id."""
    whole: bool = False
    """True if a prefix of its id is not enough."""
    short: str = ""
    """Its id within its session."""


def resolve(connection: Connection, kind: Kind, text: str) -> Found:
    """Find the thing of a kind that a name means.

    Raises:
        NotFound: there is none; the text names the nearest.
        Ambiguous: there are several.
    """
    candidates = _CANDIDATES[kind](connection)
    return pick(kind, text, candidates)


def pick(kind: str, text: str, candidates: Iterable[Candidate]) -> Found:
    """Return the one candidate that a name means: by its id, else by a name, else by a prefix of its id.

    Raises:
        NotFound, Ambiguous
    """
    known = list(candidates)
    for fits, how in ((_by_id, "means"), (_by_name, "is the name of"), (_by_prefix, "begins the ids of")):
        found = [each for each in known if fits(each, text)]
        if len(found) == 1:
            return Found(found[0].id, found[0].agent_ids)
        if found:
            raise Ambiguous(_several(kind, text, how, found))
    raise NotFound(_unknown(kind, text, known))


def _by_id(candidate: Candidate, text: str) -> bool:
    return text in {candidate.id, *candidate.keys, candidate.short or candidate.id}


def _by_name(candidate: Candidate, text: str) -> bool:
    return ":" not in text and candidate.name.casefold() == text.casefold()


def _by_prefix(candidate: Candidate, text: str) -> bool:
    ids = (candidate.id, candidate.short)
    return not candidate.whole and len(text) >= LEAST_PREFIX and any(id_.startswith(text) for id_ in ids)


def quoted(text: str) -> str:
    """Return a text as an error shows it: quoted, cut at `SHOWN` characters, control characters escaped."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _several(kind: str, text: str, how: str, found: Sequence[Candidate]) -> str:
    shown = sorted(each.shown or each.id for each in found)[:NAMED]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{quoted(text)} {how} several {kind}s: {', '.join(shown)}{more}; give one of these"


def _unknown(kind: str, text: str, known: Sequence[Candidate]) -> str:
    names = [name for each in known for name in (*each.keys, each.name, each.id)]
    near = nearest(text, names)
    if kind == "user" and not near and ":" not in text:
        near = "; the id of a user has its network's prefix, such as tg:123"
    return f"there is no {kind} {quoted(text)}{near}"


# -- what there is -------------------------------------------------------------


def _agents(connection: Connection) -> list[Candidate]:
    return [
        Candidate(group.id, (group.folder,), group.name, (group.id,), group.folder)
        for group in agent_groups.every(connection)
    ]


def address_of(chat: MessagingGroup) -> str:
    """Return the address of a chat as people write it."""
    return f"{chat.channel_type}:{chat.platform_id}"


def _chats(connection: Connection) -> list[Candidate]:
    return [
        Candidate(chat.id, (address_of(chat),), chat.name or "", shown=address_of(chat))
        for chat in messaging_groups.every(connection)
    ]


def _users(connection: Connection) -> list[Candidate]:
    return [Candidate(user.id, whole=True) for user in users.every(connection)]


def _sessions(connection: Connection) -> list[Candidate]:
    chats = {chat.id: address_of(chat) for chat in messaging_groups.every(connection)}
    agents = {group.id: group for group in agent_groups.every(connection)}
    found, damaged = sessions.split(connection)
    repairable = [Candidate(each.id) for each in damaged]  # so that a command can repair it
    return [*(_session(each, chats, agents) for each in found), *repairable]


def _session(session: Session, chats: Mapping[str, str], agents: Mapping[str, AgentGroup]) -> Candidate:
    thread = f"/{session.thread_id}" if session.thread_id else ""
    chat = chats.get(session.messaging_group_id or "", "")
    names = (f"{chat}{thread}",) if chat and session.status != "archived" else ()
    agent = agents[session.agent_group_id].folder if session.agent_group_id in agents else "?"
    return Candidate(session.id, names, agent_ids=(session.agent_group_id,), shown=f"{session.id} ({agent})")


def _wirings(connection: Connection) -> list[Candidate]:
    chats = {chat.id: address_of(chat) for chat in messaging_groups.every(connection)}
    agents = {group.id: group.folder for group in agent_groups.every(connection)}
    return [_wiring(each, chats, agents) for each in wirings.every(connection)]


def _wiring(wiring: Wiring, chats: Mapping[str, str], agents: Mapping[str, str]) -> Candidate:
    chat, agent = chats.get(wiring.messaging_group_id, ""), agents.get(wiring.agent_group_id, "?")
    return Candidate(
        wiring.id,
        (chat, f"{chat}={agent}") if chat else (),
        agent_ids=(wiring.agent_group_id,),
        shown=f"{chat}={agent}",
    )


def _questions(connection: Connection) -> list[Candidate]:
    owners = {each.id: each.agent_group_id for each in sessions.every(connection)}
    return [
        Candidate(each.question_id, agent_ids=tuple(filter(None, [owners.get(each.session_id)])))
        for each in pending_questions.every(connection)
    ]


def _approvals(connection: Connection) -> list[Candidate]:
    return [
        Candidate(each.approval_id, agent_ids=tuple(filter(None, [each.agent_group_id])))
        for each in pending_approvals.every(connection, None)
    ]


_CANDIDATES: Mapping[str, Callable[[Connection], list[Candidate]]] = {
    "agent": _agents,
    "chat": _chats,
    "user": _users,
    "session": _sessions,
    "wiring": _wirings,
    "question": _questions,
    "approval": _approvals,
}


IN_FILES: tuple[Kind, ...] = ("task", "message")
"""The kinds of things that the files of sessions have."""
KINDS: tuple[Kind, ...] = ("agent", "chat", "user", "session", "wiring", "question", "approval", *IN_FILES)
"""The kinds of things that have names."""


def names(connection: Connection, kind: Kind) -> list[str]:
    """Return the shortest name of everything of a kind, for completion."""
    named_by_keys = kind in {"agent", "chat", "wiring"}
    return [
        *dict.fromkeys(
            each.keys[-1] if named_by_keys and each.keys else each.id
            for each in _CANDIDATES[kind](connection)
        )
    ]
