"""The noun `wirings`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Unpack

from attrs import frozen

from nanoclaw.operations.declaration import Named, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, ChatRef, JsonObject, WiringRef
from nanoclaw.records import Address, ResponseScope, SessionMode, UnknownSenderPolicy, Wiring
from nanoclaw.registry import CreateWiring, DeleteWiring, UpdateWiring, WireChat
from nanoclaw.store.central import wirings
from nanoclaw.store.central.wirings import WiringChanges

COLUMNS = ("chat", "agent", "session_mode", "response_scope", "trigger_rules", "priority", "id", "problem")


@frozen
class Wirings(Noun):
    """Which agents listen to which chats, and how."""

    name = "wirings"
    summary = "which agents listen to which chats, and how"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self, *, chat: ChatRef | None = None, agent: AgentRef | None = None) -> Sequence[Wiring]:
        """List the wirings. One with a problem hears nobody.

        Args:
            chat: only this chat's.
            agent: only this agent's.
        """
        found, damaged = await self._central.run(wirings.every_readable)
        for error in damaged:
            self.note(f"left out, and nobody is heard: {error}")
        return [
            each
            for each in found
            if chat in {None, each.messaging_group_id} and agent in {None, each.agent_group_id}
        ]

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, wiring: WiringRef) -> Wiring:
        """Show a wiring.

        Args:
            wiring: its id, `chat=agent`, or the chat where only one agent listens to it.
        """
        return await self._central.run(wirings.require, wiring)

    @operation(right=Right.ADMIN, conflict="agent {agent} listens to chat {chat} already")
    async def create(  # noqa: PLR0913 -- the settings of a wiring, by name
        self,
        chat: ChatRef,
        agent: AgentRef,
        *,
        trigger_rules: Annotated[JsonObject | None, Named("trigger")] = None,
        response_scope: ResponseScope = "all",
        session_mode: SessionMode = "shared",
        priority: int = 0,
    ) -> Wiring:
        """Let an agent listen to a chat, and write to it.

        Args:
            chat: its `channel:platform_id`, name or id.
            agent: its folder, name or id.
            trigger_rules: which messages wake the agent, such as `{"pattern": "^help"}`; default: all.
            response_scope: all, only messages that match the trigger, or only its `includeSenders`.
            session_mode: one session a chat, one a thread, or one for all chats of the agent.
            priority: the order among the agents of a chat; the highest comes first.
        """
        rules = trigger_rules or {}
        return await self._registry.ask(
            CreateWiring(chat, agent, rules, response_scope, session_mode, priority)
        )

    @operation(right=Right.ADMIN)
    async def set(
        self,
        wiring: WiringRef,
        *,
        trigger_rules: Annotated[JsonObject | None, Named("trigger")] = None,
        response_scope: ResponseScope | None = None,
        session_mode: SessionMode | None = None,
        priority: int | None = None,
    ) -> Wiring:
        """Change how an agent listens to a chat.

        Args:
            wiring: its id, `chat=agent`, or the chat where only one agent listens to it.
            trigger_rules: which messages wake the agent; `{}`: all.
            response_scope: all, only messages that match the trigger, or only its `includeSenders`.
            session_mode: one session a chat, one a thread, or one for all chats of the agent.
            priority: the order among the agents of a chat; the highest comes first.
        """
        changes: WiringChanges = {}
        if trigger_rules is not None:
            changes["trigger_rules"] = trigger_rules
        if response_scope is not None:
            changes["response_scope"] = response_scope
        if session_mode is not None:
            changes["session_mode"] = session_mode
        if priority is not None:
            changes["priority"] = priority
        if not changes:
            raise BadArguments(
                "nothing to change: give --trigger, --response-scope, --session-mode or --priority"
            )
        return await self.update(wiring, **changes)

    @operation(right=Right.ADMIN, asks="Stop the agent of wiring {wiring} from listening?")
    async def delete(self, wiring: WiringRef) -> Wiring:
        """Stop an agent from listening to a chat; the destination that came with the wiring goes, too.

        Args:
            wiring: its id, `chat=agent`, or the chat where only one agent listens to it.
        """
        return await self._registry.ask(DeleteWiring(wiring))

    # -- for embedders

    async def connect(  # noqa: PLR0913 -- the settings of a wiring, by name
        self,
        address: Address,
        folder: str,
        *,
        policy: UnknownSenderPolicy = "strict",
        session_mode: SessionMode = "shared",
        response_scope: ResponseScope = "all",
        trigger_rules: Mapping[str, object] | None = None,
        priority: int = 0,
        chat_name: str | None = None,
        is_group: bool = False,
    ) -> Wiring:
        """Let the agent in that folder listen to a chat, in one step; create what is missing.

        The chat's policy becomes `policy`. An existing wiring stays unchanged and is returned. An existing
        row of a chat stays unchanged, too: `chat_name` and `is_group` apply to a new one. Raises `NotAllowed`
        (its rules, its address, or a bad folder name).
        """
        return await self._registry.ask(
            WireChat(
                address,
                folder,
                policy,
                session_mode,
                response_scope,
                trigger_rules or {},
                priority,
                chat_name=chat_name,
                is_group=is_group,
            )
        )

    async def get(self, id_: str) -> Wiring | None:
        """Return the wiring with that id."""
        return await self._central.run(wirings.get, id_)

    async def by_pair(self, messaging_group_id: str, agent_group_id: str) -> Wiring | None:
        """Return the wiring between a chat and an agent."""
        return await self._central.run(wirings.by_pair, messaging_group_id, agent_group_id)

    async def for_chat(self, messaging_group_id: str) -> Sequence[Wiring]:
        """Return a chat's wirings: the highest priority first, then the oldest."""
        return await self._central.run(wirings.for_chat, messaging_group_id)

    async def for_agent(self, agent_group_id: str) -> Sequence[Wiring]:
        """Return an agent's wirings, the oldest first."""
        return await self._central.run(wirings.for_agent, agent_group_id)

    async def update(self, id_: str, **changes: Unpack[WiringChanges]) -> Wiring:
        """Change a wiring. Raises `NotFound`, `NotAllowed`."""
        return await self._registry.ask(UpdateWiring(id_, changes))
