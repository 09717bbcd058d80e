"""The kind `install_packages`: an agent asks for packages of apt, pip or npm in its sandbox."""

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from nanoclaw.agents import Change
from nanoclaw.agents.container_json import PackageName
from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.config.kinds import Unfit
from nanoclaw.records import PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection

INSTALLERS = ("apt", "pip", "npm")
MOST = 30
"""Packages of one request."""
_NAME = re.compile(r"@?[^@=<>!~\[]+")
"""The part of a package's name before its version."""

Packages = Mapping[str, Sequence[str]]
"""Packages by installer."""


@frozen
class InstallPackages:
    """Adds packages to the agent's `container.json`, once they are installed."""

    installation: Installation
    action: str = "install_packages"
    for_agents: bool = True

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check the names of the packages, and that the runtime can have them."""
        agent, fields = agent_of(connection, asked), Fields.of(asked, *INSTALLERS)
        present = self._present(agent.folder)
        wanted = {each: _names(each, fields.texts(each), present[each]) for each in INSTALLERS}
        packages = {installer: names for installer, names in wanted.items() if names}
        if not packages:
            raise ActionRefused("name at least one package that is not installed yet, in apt, pip or npm")
        if sum(map(len, packages.values())) > MOST:
            raise ActionRefused(f"at most {MOST} packages may be asked for at once")
        self.installation.checked(agent.folder, _adding(packages))
        listed = "\n".join(_line(each, names, present[each]) for each, names in packages.items())
        only = next(iter(packages)) if len(packages) == 1 else None
        return Wanted(
            payload={installer: list(names) for installer, names in packages.items()},
            same=repr(sorted(packages.items())),
            title=f"{agent.folder} asks to install packages",
            text=f"To be installed in the sandbox of the agent {agent.folder}:\n{listed}"
            f"{_always(only)}{fields.reason}",
            scope=only,
        )

    def apply(self, _connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Return what was decided about."""
        return {"packages": approval.payload}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Install the packages, and start the agent's runners with them."""
        agent = approval.agent_group_id or ""
        await effects.change_container_json(agent, _adding(_of(approval.payload)))
        await effects.restart_agent(agent)
        return None

    def _present(self, folder: str) -> Packages:
        packages = self.installation.container(folder).packages
        return {"apt": packages.apt, "pip": packages.pip, "npm": packages.npm}


def _names(installer: str, given: Sequence[str], present: Sequence[str]) -> Sequence[str]:
    """Return the valid names that are not there yet, each once. Of two versions the last one counts."""
    kind, found = PackageName(installer), dict[str, str]()
    for each in given[: MOST + 1]:
        try:
            found[base(kind.read(each))] = each
        except Unfit as error:
            raise ActionRefused(f"{installer}: {error}") from error
    if len(given) > MOST:
        raise ActionRefused(f"at most {MOST} packages may be asked for at once")
    return [name for name in found.values() if name not in present]


def base(package: str) -> str:
    """Return the name of a package without its version and its extras, as its installer compares it."""
    found = _NAME.match(package)
    return re.sub(r"[-_.]+", "-", found[0] if found else package).lower()


def _line(installer: str, names: Sequence[str], present: Sequence[str]) -> str:
    earlier = {base(each): each for each in present}
    shown = (
        f"{name} (instead of {earlier[base(name)]})" if base(name) in earlier else name for name in names
    )
    return f"{installer}: {', '.join(shown)}"


def _always(installer: str | None) -> str:
    if installer is None:
        return ""
    return (
        f"\n“Always allow” lets this agent install any package of {installer}, now and later, without asking."
    )


def _of(payload: Mapping[str, object]) -> Packages:
    found = ((each, payload.get(each)) for each in INSTALLERS)
    return {each: [*map(str, names)] for each, names in found if isinstance(names, list)}


def _adding(packages: Packages) -> Change:
    """Return the change that adds packages. One with another version takes the place of its earlier one."""

    def change(values: dict[str, object]) -> None:
        there = values.get("packages")
        all_ = dict(there) if isinstance(there, Mapping) else {}
        for installer, names in packages.items():
            before = all_.get(installer)
            new = {base(name) for name in names}
            kept = [each for each in (before if isinstance(before, list) else ()) if base(each) not in new]
            all_[installer] = [*kept, *names]
        values["packages"] = all_

    return change


KIND = InstallPackages
