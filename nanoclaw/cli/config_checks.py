"""Checks of `nanoclaw config check` beyond the settings: the folders of the host, and each agent's runner.

Nothing is written and no runner is started.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import Factory, frozen

from nanoclaw.agents import BadContainerJson, ContainerConfig, MountRefused, read_container_json
from nanoclaw.agents.mount_list import BadMountList
from nanoclaw.agents.mounts import MountPolicy
from nanoclaw.config import Config
from nanoclaw.config.model import KeyConfig
from nanoclaw.config.passed_variables import missing, passed
from nanoclaw.gateway.keys import missing as missing_key
from nanoclaw.gateway.models import problems, resolve
from nanoclaw.records import AgentGroup, Session, SessionPaths
from nanoclaw.runtimes import ReportsUnhonoured, RunnerSpec, Runtime, isolates
from nanoclaw.session.spec import with_container
from nanoclaw.store import Connection, LostDatabase, StoreError, check_file, read_once
from nanoclaw.store.central import agent_groups, damage, sessions
from nanoclaw.system.obstacles import Obstacle, advice, is_text, may, printable

Containers = Mapping[str, ContainerConfig]
"""Each `container.json` that can be read, by its agent group's folder."""


@frozen
class _Rows:
    """The agents in the central database, their sessions that are not archived, and what cannot be read."""

    groups: list[AgentGroup] = Factory(list)
    sessions: list[Session] = Factory(list)
    damaged: list[str] = Factory(list)


def place_problems(config: Config) -> Iterator[str]:
    """Find folders that a start could not write or create."""
    yield from _data_problems(config)
    for key, folder in {"data": config.data, "groups": config.groups}.items():
        above = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        label = config.origins.label((key,))
        if not above.is_dir():
            yield f"{label}: {above} must be a folder; move it away, or choose another place"
        elif not os.access(above, os.W_OK | os.X_OK):
            yield f"{label}: you may not write in {above}; change its owner or mode, or choose another place"


def _data_problems(config: Config) -> Iterator[str]:
    database, label = config.data / "v2.db", config.origins.label(("data",))
    if not is_text(config.data):
        shown = printable(config.data)
        yield f"{label}: {shown} is not valid UTF-8, which SQLite needs; rename the folder or choose another"
    elif os.path.lexists(database) and not may(database, os.R_OK | os.W_OK):
        yield f"{label}: {database} {advice(Obstacle.DENIED, database)}"


def unset_variables(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """Find variables that runners should be given and that are not set here. The host may start elsewhere."""
    for name in missing(config.runtime.pass_env, environ):
        label = config.origins.label(("runtime", "pass_env"))
        yield f"{label}: {name} is not set here; set it in the environment in which the host starts"


def model_problems(config: Config) -> Iterator[str]:
    """Find settings of `[model]` that cannot work."""
    for path, words in problems(config.model):
        yield f"{config.origins.label(('model', *path))} {words}"


def key_problems(config: Config, containers: Containers) -> Iterator[str]:
    """Find files of keys that cannot be read."""
    for key, label in _keys(config, containers).items():
        if key.file is not None and (reason := missing_key(key)) is not None:
            yield f"{label}: {reason}"


def key_doubts(config: Config, containers: Containers) -> Iterator[str]:
    """Find variables of keys that are not set here, and those that runners should be given but are not.

    The host may start in another environment.
    """
    pass_env = config.origins.label(("runtime", "pass_env"))
    for key, label in _keys(config, containers).items():
        if key.env is not None and (reason := missing_key(key)) is not None:
            yield f"{label}: {reason}"
        if key.env is not None and passed(config.runtime.pass_env, {key.env: ""}):
            yield f"{pass_env}: {key.env} holds the key of a model, so no runner is given it; remove it there"


def _keys(config: Config, containers: Containers) -> Mapping[KeyConfig, str]:
    """Return the places of all keys, each with the beginning of a line about it."""
    found = dict[KeyConfig, str]()
    for origins, models in (
        (config.origins, resolve(config.model)),
        *((each.origins, resolve(config.model, [each.model])) for each in containers.values()),
    ):
        for path, model in zip((("model", "key"), ("model", "fallback", "key")), models.each(), strict=False):
            if model.key is not None:
                found.setdefault(model.key, origins.label(path))
    return found


def read_containers(groups: Path) -> tuple[Containers, list[str]]:
    """Read the `container.json` of each agent's folder.

    Returns:
        Those that can be used, and the problems of the others.
    """
    read, problems = dict[str, ContainerConfig](), list[str]()
    for folder in sorted(file.parent for file in groups.glob("*/container.json")):
        try:
            read[folder.name] = read_container_json(folder)
        except BadContainerJson as error:
            problems.extend(error.problems)
    return read, problems


def runner_problems(config: Config, runtime: Runtime, containers: Containers) -> tuple[list[str], list[str]]:
    """Find agents and sessions whose runners the runtime would refuse to start.

    Returns:
        The problems; and a hint where the central database cannot be read.
    """
    problems = [
        problem
        for folder, container in containers.items()
        for problem in _container_problems(config.groups / folder, container, runtime)
    ]
    if isolates(runtime):
        problems.extend(mount_problems(config, containers))
    file = config.data / "v2.db"
    try:
        if file.parent.is_dir():
            check_file(file)
        if not os.path.lexists(file):
            return problems, []
        rows = read_once(file, _read_rows)
    except LostDatabase as error:
        return [*problems, str(error)], []
    except (StoreError, OSError) as error:
        return problems, [f"the providers of agents and sessions were not checked: {error}"]
    return [*problems, *_row_problems(file, rows, containers, runtime)], []


def mount_problems(config: Config, containers: Containers) -> Iterator[str]:
    """Find mounts that are not allowed, and problems of the file that allows them."""
    try:
        policy = MountPolicy.read(config, os.environ)
    except BadMountList as error:
        yield from error.problems
        return
    writable = policy.writable(containers)
    for folder, container in containers.items():
        try:
            policy.granted(folder, container, writable)
        except MountRefused as refused:
            yield from refused.problems


def _container_problems(folder: Path, container: ContainerConfig, runtime: Runtime) -> Iterator[str]:
    second = container.model.fallback
    named: Mapping[tuple[str, ...], str | None] = {
        ("provider",): container.provider,
        ("model", "provider"): container.model.provider,
        ("model", "fallback", "provider"): None if second is None else second.provider,
    }
    for path, provider in named.items():
        if provider is not None and (refusal := runtime.refusal(provider)) is not None:
            yield f"{container.origins.label(path)}: {refusal}"
    if isinstance(runtime, ReportsUnhonoured):
        spec = RunnerSpec("", SessionPaths(folder), folder, container.provider or "", {})
        for part, advice in runtime.unhonoured(with_container(spec, container)).items():
            label = container.origins.label(tuple(part.split(".")))
            yield f"{label}: the {runtime.name} runtime cannot honour this; {advice}"


def _read_rows(connection: Connection) -> _Rows:
    return _Rows(agent_groups.every(connection), sessions.open_ones(connection), damage.find(connection))


def _row_problems(file: Path, rows: _Rows, containers: Containers, runtime: Runtime) -> Iterator[str]:
    """Find damaged rows, and providers that are refused, except where another one overrides them."""
    for sentence in rows.damaged:
        yield f"{file}: {sentence}; correct or delete that row"
    names = {group.id: group.folder for group in rows.groups}
    for group in rows.groups:
        container = containers.get(group.folder, ContainerConfig())
        provider = group.agent_provider
        if provider is not None and container.provider is None and (refusal := runtime.refusal(provider)):
            yield f"{file}: agent {group.folder}: provider: {refusal}"
    for session in rows.sessions:
        if session.agent_provider is not None and (refusal := runtime.refusal(session.agent_provider)):
            yield f"{file}: session {session.id} of {names.get(session.agent_group_id)}: provider: {refusal}"
