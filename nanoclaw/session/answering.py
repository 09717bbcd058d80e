"""Finds the agents that answer in a chat, with the provider and the model of each."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nanoclaw.agents import BadContainerJson, ContainerConfig, read_container_json
from nanoclaw.config import Config
from nanoclaw.config.model import ModelLayer
from nanoclaw.gateway import SessionModels, resolve
from nanoclaw.records import Address, AgentGroup, Answering, Session, Wiring
from nanoclaw.store import Connection, Executor, Reader, StoreError
from nanoclaw.store.central import agent_groups, messaging_groups, sessions, wirings


def models_of(
    group: AgentGroup, session: Session | None, container: ContainerConfig, config: Config
) -> SessionModels:
    """Return the models of a session (contract 1): its own, else its agent's, else the configuration's."""
    layers = [
        ModelLayer(provider=group.agent_provider or None),
        ModelLayer(provider=container.provider),
        container.model,
    ]
    if session is not None:
        layers.append(ModelLayer(provider=session.agent_provider or None, name=session.model or None))
    return resolve(config.model, layers)


def provider_of(
    group: AgentGroup, session: Session | None, container: ContainerConfig, config: Config
) -> str:
    """Return the provider of a session (contract 1): its own, else its agent's, else the configuration's."""
    return models_of(group, session, container, config).first.provider


async def answering(
    central: Reader, executor: Executor, config: Config, chat: Address
) -> Sequence[Answering]:
    """Return the agents of a chat, in the order of their wirings; none if they cannot be read now."""
    try:
        found = await central.run(_agents, chat)
    except StoreError:
        return ()
    return await executor.run(partial(_with_providers, found, config))


def _agents(connection: Connection, chat: Address) -> list[tuple[AgentGroup, Session | None]]:
    place = messaging_groups.by_address(connection, chat.channel_type, chat.platform_id)
    its = wirings.for_chat(connection, place.id) if place is not None else []
    found = [(agent_groups.get(connection, wiring.agent_group_id), wiring) for wiring in its]
    return [(group, _session(connection, wiring)) for group, wiring in found if group is not None]


def _session(connection: Connection, wiring: Wiring) -> Session | None:
    chat = None if wiring.session_mode == "agent-shared" else wiring.messaging_group_id
    return sessions.find_open(connection, wiring.agent_group_id, chat, None)


def _with_providers(
    found: Sequence[tuple[AgentGroup, Session | None]], config: Config
) -> Sequence[Answering]:
    return [_answering(group, session, config) for group, session in found]


def _answering(group: AgentGroup, session: Session | None, config: Config) -> Answering:
    model = models_of(group, session, _container(config.groups / group.folder), config).first
    return Answering(group.name, model.provider, model.name or None)


def _container(folder: Path) -> ContainerConfig:
    try:
        return read_container_json(folder)
    except BadContainerJson:  # reported when a runner starts
        return ContainerConfig()
