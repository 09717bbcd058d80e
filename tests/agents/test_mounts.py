import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve

from nanoclaw.agents import ContainerConfig, Grant, MountRefused, granted_mounts, read_container_json
from nanoclaw.config import Config
from nanoclaw.config.tables import SandboxConfig


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder on a disk: pytest's may be in /dev/shm, which no agent is given."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made).resolve()


class Machine:
    """A machine with a home, a project in it, and a folder that may be given away."""

    def __init__(self, root: Path) -> None:
        self.home = root / "u"
        self.files = self.home / "files"
        self.files.mkdir(parents=True)
        self.list = root / "u/.config/nanoclaw/mounts.toml"
        self.list.parent.mkdir(parents=True, mode=0o700)
        project = self.home / ".nanoclaw"
        sandbox = SandboxConfig(mount_allowlist=self.list)
        self.config = Config(project, project / "data", project / "groups", sandbox=sandbox)

    def allow(self, path: Path | str | None = None, more: str = "") -> None:
        self.list.write_text(f'[[allow]]\npath = "{path or self.files}"\n{more}\n')
        self.list.chmod(0o600)

    def mount(self, *sources: Path, read_only: bool = True, **others: ContainerConfig) -> tuple[Grant, ...]:
        container = mounting(*sources, read_only=read_only)
        return granted_mounts(self.config, {}, "main", {"main": container, **others})

    def refusal(self, *sources: Path, **others: ContainerConfig) -> str:
        with pytest.raises(MountRefused) as caught:
            self.mount(*sources, read_only=True, **others)
        return str(caught.value)


def mounting(*sources: Path, read_only: bool = True) -> ContainerConfig:
    grants = [Grant(each, PurePosixPath(f"/mnt/{n}"), read_only) for n, each in enumerate(sources)]
    return ContainerConfig(mounts=tuple(grants))


@pytest.fixture
def machine(folder: Path) -> Machine:
    return Machine(folder)


def test_without_a_list_nothing_is_mounted_and_the_error_says_what_to_write(machine: Machine) -> None:
    refusal = machine.refusal(machine.files)
    assert f"{machine.list} is missing" in refusal
    assert f'`[[allow]]` and `path = "{machine.files}"`' in refusal


def test_nobody_is_told_to_allow_what_is_never_given(machine: Machine) -> None:
    for source in (Path("/etc"), Path("/")):
        assert "[[allow]]" not in machine.refusal(source)
        assert "mount another folder" in machine.refusal(source)


def test_an_agent_without_mounts_needs_no_list(machine: Machine) -> None:
    assert machine.mount() == ()


def test_an_allowed_folder_and_what_is_below_it_are_mounted(machine: Machine) -> None:
    below = machine.files / "letters"
    below.mkdir()
    machine.allow()
    assert [each.source for each in machine.mount(machine.files, below)] == [machine.files, below]


def test_a_folder_beside_an_allowed_one_is_not_mounted(machine: Machine) -> None:
    beside = machine.home / "files2"
    beside.mkdir()
    machine.allow()
    assert f"no folder of {machine.list} contains it" in machine.refusal(beside)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_a_mount_is_writable_only_if_list_and_agent_say_so(
    machine: Machine, *, asked: bool, listed: bool
) -> None:
    machine.allow(more=f"read_only = {str(listed).lower()}")
    [grant] = machine.mount(machine.files, read_only=asked)
    assert grant.read_only == (asked or listed)


def test_a_folder_is_given_only_to_the_agents_that_the_list_names(machine: Machine) -> None:
    machine.allow(more='agents = ["other"]')
    assert f"the agent main is not in {machine.list} line 3: allow[0].agents" in machine.refusal(
        machine.files
    )
    machine.allow(more='agents = ["other", "main"]')
    assert machine.mount(machine.files)


def test_what_is_mounted_is_where_the_links_lead(machine: Machine) -> None:
    link = machine.files / "link"
    inside = machine.files / "inside"
    inside.mkdir()
    link.symlink_to(inside)
    machine.allow()
    assert [each.source for each in machine.mount(link)] == [inside]


def test_a_link_that_leads_out_of_an_allowed_folder_is_refused(machine: Machine) -> None:
    outside = machine.home / "private"
    outside.mkdir()
    (machine.files / "link").symlink_to(outside)
    machine.allow()
    assert str(outside) in machine.refusal(machine.files / "link")


def test_an_allowed_folder_may_be_named_by_a_link(machine: Machine) -> None:
    (machine.home / "link").symlink_to(machine.files)
    machine.allow(machine.home / "link")
    assert [each.source for each in machine.mount(machine.files)] == [machine.files]


@pytest.mark.parametrize(
    "name",
    [
        *(".ssh", ".SSH", ".aws/x", ".gnupg", ".env", ".env.local", "cert.pem", "id_rsa", "id_ed25519.bak"),
        *(".config/google-chrome/Default", ".mozilla", ".password-store", ".local/share/keyrings", ".netrc"),
        *("docker.sock", ".docker/config.json", ".git-credentials", ".npmrc", ".pypirc", "server.key"),
    ],
)
def test_a_blocked_place_is_neither_mounted_nor_contained_in_a_mount(machine: Machine, name: str) -> None:
    place = machine.files / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("secret")
    machine.allow()
    assert "is blocked by the pattern" in machine.refusal(place)
    assert "it contains" in machine.refusal(machine.files)


def test_a_link_to_a_blocked_place_is_refused(machine: Machine) -> None:
    (machine.home / ".ssh").mkdir()
    (machine.files / "keys").symlink_to(machine.home / ".ssh")
    machine.allow(machine.home)
    assert "is blocked by the pattern .ssh" in machine.refusal(machine.files / "keys")


def test_a_folder_within_a_blocked_one_is_refused(machine: Machine) -> None:
    inside = machine.files / ".kube" / "cache" / "deep"
    inside.mkdir(parents=True)
    machine.allow()
    assert "is blocked by the pattern .kube" in machine.refusal(inside)


def test_an_example_of_an_environment_file_is_no_secret(machine: Machine) -> None:
    (machine.files / ".env.example").touch()
    machine.allow()
    assert machine.mount(machine.files)


def test_the_list_may_unblock_a_name_and_block_more_names(machine: Machine) -> None:
    (machine.files / "ca.pem").touch()
    machine.allow(more='unblocked = ["*.pem"]')
    assert machine.mount(machine.files)
    machine.list.write_text(f'blocked = ["*.sqlite"]\n{machine.list.read_text()}')
    (machine.files / "a.SQLite").touch()
    assert "pattern *.sqlite" in machine.refusal(machine.files)


def test_the_project_the_list_and_parts_of_the_system_are_never_mounted(machine: Machine) -> None:
    machine.allow("/")
    groups = machine.config.groups / "main"
    groups.mkdir(parents=True)
    for place in (groups, machine.config.home, machine.list, Path("/proc/self"), Path("/etc/hosts")):
        assert "may not be mounted: it is in" in machine.refusal(place) or "never given" in machine.refusal(
            place
        )
    for place in (machine.home, machine.list.parent, Path("/")):
        assert "it contains" in machine.refusal(place)


def test_a_place_within_a_folder_that_an_agent_may_write_is_refused(machine: Machine) -> None:
    """That agent could put a link in its place between the check and the mount."""
    below = machine.files / "letters"
    below.mkdir()
    machine.allow(more="read_only = false")
    other = mounting(machine.files, read_only=False)
    assert f"it is in {machine.files}, which an agent may write" in machine.refusal(below, other=other)
    assert machine.mount(machine.files, other=other)


def test_what_is_no_folder_and_no_file_is_refused(machine: Machine) -> None:
    machine.allow()
    os.mkfifo(machine.files / "pipe")
    assert "neither a folder nor a regular file" in machine.refusal(machine.files / "pipe")
    assert "No such file or directory" in machine.refusal(machine.files / "gone")


def test_each_problem_names_the_line_of_container_json(machine: Machine, folder: Path) -> None:
    text = f'{{\n"mounts": [\n{{"source": "{folder}", "target": "/mnt/a"}}]}}'
    (folder / "container.json").write_text(text)
    container = read_container_json(folder)
    with pytest.raises(MountRefused) as caught:
        granted_mounts(machine.config, {}, "main", {"main": container})
    assert str(caught.value).startswith(f"{folder}/container.json line 3: mounts[0].source: {folder} may")


# -- the file ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[allow", "cannot be read as TOML"),
        ('[[allow]]\npath = "files"', " line 2: allow[0].path must be an absolute path"),
        ('[[allow]]\npath = "/a/../b"', " line 2: allow[0].path must be an absolute path"),
        ("[[allow]]\nread_only = true", " line 1: allow[0].path"),
        ('[[allow]]\npath = "/a"\n[[allow]]\npath = "/b"\nread_only = 3', " line 5: allow[1].read_only must"),
        ('[[allowed]]\npath = "/a"', "allowed is not known"),
    ],
)
def test_a_list_that_cannot_be_used_allows_nothing(machine: Machine, text: str, wanted: str) -> None:
    machine.allow()
    machine.list.write_text(text)
    refusal = machine.refusal(machine.files)
    assert refusal.startswith(str(machine.list))
    assert wanted in refusal


@pytest.mark.parametrize(("mode", "folder_mode"), [(0o660, 0o700), (0o602, 0o700), (0o600, 0o770)])
def test_a_list_that_others_may_write_allows_nothing(machine: Machine, mode: int, folder_mode: int) -> None:
    machine.allow()
    machine.list.chmod(mode)
    machine.list.parent.chmod(folder_mode)
    assert "other users may write it" in machine.refusal(machine.files)


def test_a_list_within_the_project_allows_nothing(machine: Machine) -> None:
    machine.allow()
    inside = machine.config.data / "mounts.toml"
    inside.parent.mkdir(parents=True)
    inside.write_text(machine.list.read_text())
    machine.list.unlink()
    machine.list.symlink_to(inside)
    assert "where agents may reach it" in machine.refusal(machine.files)


def test_the_place_of_the_list_is_that_of_the_user(machine: Machine, folder: Path) -> None:
    machine.allow()
    config = evolve(machine.config, sandbox=SandboxConfig())
    agents = {"main": mounting(machine.files)}
    assert granted_mounts(config, {"XDG_CONFIG_HOME": str(folder / "u/.config")}, "main", agents)
