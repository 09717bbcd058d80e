"""What agents may ask for: which requests are refused, and what a card says of the others."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve

from nanoclaw.agents import BadContainerJson, change_container_json, read_container_json
from nanoclaw.approvals.catalogue import ApprovalKinds
from nanoclaw.approvals.kind import ALWAYS, Asked
from nanoclaw.approvals.kinds.add_mcp_server import AddMcpServer
from nanoclaw.approvals.kinds.create_agent import CreateAgent
from nanoclaw.approvals.kinds.install_packages import InstallPackages
from nanoclaw.approvals.kinds.install_packages import _adding as adding_packages
from nanoclaw.approvals.kinds.request_budget import RequestBudget
from nanoclaw.approvals.kinds.request_mount import RequestMount
from nanoclaw.approvals.kinds.request_rebuild import RequestRebuild
from nanoclaw.approvals.requesting import Requested
from nanoclaw.records import AgentGroup, BudgetRow
from nanoclaw.records.approvals import Decision
from nanoclaw.registry import ActionRefused
from nanoclaw.store.central import agent_groups, budgets, destinations
from tests.approvals.kinds_stage import Stage, a_stage, without_apt
from tests.store.openings import NOW

RIGHT_TO_LEFT = "\u202e"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path) as made:
        yield made


# -- packages ----------------------------------------------------------------------


async def test_a_card_names_every_package(stage: Stage) -> None:
    wanted = await stage.check(
        InstallPackages, apt=["ffmpeg"], pip=["requests==2.32", "rich"], reason="to fetch"
    )
    assert wanted.payload == {"apt": ["ffmpeg"], "pip": ["requests==2.32", "rich"]}
    assert "apt: ffmpeg\npip: requests==2.32, rich\n" in wanted.text
    assert "“to fetch”" in wanted.text
    assert wanted.title == "main asks to install packages"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({}, "at least one package", id="none"),
        pytest.param({"pip": []}, "at least one package", id="empty"),
        pytest.param({"pip": "requests"}, "list of strings", id="a text"),
        pytest.param({"pip": [1]}, "list of strings", id="a number"),
        pytest.param({"pip": ["--index-url=http://evil"]}, "name of a package of pip", id="an option"),
        pytest.param({"pip": ["https://evil/x.whl"]}, "name of a package of pip", id="an address"),
        pytest.param({"npm": ["file:../x"]}, "name of a package of npm", id="a file"),
        pytest.param({"pip": [f"req{RIGHT_TO_LEFT}uests"]}, "name of a package of pip", id="a bidi mark"),
        pytest.param({"pip": [f"p{n}" for n in range(31)]}, "at most 30", id="too many"),
        pytest.param({"gem": ["rails"]}, "gem is unknown", id="another installer"),
        pytest.param({"pip": ["rich"], "reason": "x" * 501}, "at most 500", id="a long reason"),
    ],
)
async def test_bad_packages_are_refused_before_anybody_is_asked(
    stage: Stage, values: dict[str, object], words: str
) -> None:
    with pytest.raises(ActionRefused, match=words):
        await stage.check(InstallPackages, **values)


async def test_packages_that_are_there_are_not_asked_for_again(stage: Stage) -> None:
    stage.container({"packages": {"pip": ["rich"]}})
    wanted = await stage.check(InstallPackages, pip=["rich", "requests"])
    assert wanted.payload == {"pip": ["requests"]}
    with pytest.raises(ActionRefused, match="not installed yet"):
        await stage.check(InstallPackages, pip=["rich"])


async def test_another_version_takes_the_place_of_the_earlier_one(stage: Stage) -> None:
    stage.container({"packages": {"pip": ["Ruamel_YAML==0.17", "rich"]}, "env": {"A": "b"}})
    wanted = await stage.check(InstallPackages, pip=["ruamel.yaml==0.18"])
    assert "ruamel.yaml==0.18 (instead of Ruamel_YAML==0.17)" in wanted.text
    for _ in range(2):  # a crash repeats it
        change_container_json(stage.folder, adding_packages({"pip": ["ruamel.yaml==0.18"]}))
    container = read_container_json(stage.folder)
    assert container.packages.pip == ("rich", "ruamel.yaml==0.18")
    assert container.env == {"A": "b"}


async def test_what_the_runtime_cannot_have_is_refused_at_once(stage: Stage) -> None:
    stage.installation = evolve(stage.installation, unhonoured=without_apt)
    with pytest.raises(ActionRefused, match=r"cannot honour packages\.apt: use docker"):
        await stage.check(InstallPackages, apt=["ffmpeg"])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InstallPackages, {"pip": ["rich"]}),
        (AddMcpServer, {"name": "x", "command": "y"}),
        (RequestRebuild, {}),
        (RequestMount, {"path": "/srv"}),
    ],
)
async def test_without_a_sandbox_there_is_nothing_to_change_in_it(
    stage: Stage, kind: type[InstallPackages], values: dict[str, object]
) -> None:
    stage.installation = evolve(stage.installation, sandboxed=False)
    with pytest.raises(ActionRefused, match="no sandbox"):
        await stage.check(kind, **values)


async def test_a_broken_file_of_the_owner_is_left_alone(stage: Stage) -> None:
    stage.container({"packages": {"pip": ["not a package!"]}})
    with pytest.raises(ActionRefused, match="the owner must correct it first"):
        await stage.check(InstallPackages, pip=["rich"])


async def test_always_means_one_installer(stage: Stage) -> None:
    one = await stage.check(InstallPackages, pip=["rich"])
    both = await stage.check(InstallPackages, pip=["rich"], npm=["cowsay"])
    assert (one.scope, both.scope) == ("pip", None)
    assert "any package of pip" in one.text


async def test_a_rule_allows_the_packages_of_its_installer_and_no_others(stage: Stage) -> None:
    catalogue = ApprovalKinds.of(stage.installation)

    async def ask(id_: str, **packages: object) -> Requested:
        asked = Asked("install_packages", packages, stage.main.id)
        found: Requested = await stage.run(catalogue.request, asked, id_, NOW)
        return found

    first = await ask("appr-1", pip=["rich"])
    assert first.state == "asked"
    await stage.run(catalogue.decide, Decision("appr-1", ALWAYS.value, None, unlimited=True), NOW)
    assert (await ask("appr-2", pip=["requests"])).state == "allowed"
    assert (await ask("appr-3", npm=["cowsay"])).state == "asked"
    assert (await ask("appr-4", pip=["httpie"], npm=["cowsay"])).state == "asked"


# -- MCP servers -------------------------------------------------------------------


async def test_a_card_shows_the_whole_command_with_the_ends_of_its_words(stage: Stage) -> None:
    wanted = await stage.check(
        AddMcpServer, name="notes", command="npx", args=["-y", "a b", "$(x)"], env={"TOKEN": "s3cret"}
    )
    assert "In its sandbox this is run: npx -y 'a b' '$(x)'" in wanted.text
    assert "  TOKEN=s3cret" in wanted.text
    assert wanted.payload == {
        "name": "notes",
        "server": {"command": "npx", "args": ["-y", "a b", "$(x)"], "env": {"TOKEN": "s3cret"}},
    }


async def test_letters_that_look_like_others_are_seen(stage: Stage) -> None:
    wanted = await stage.check(
        AddMcpServer,
        name="n",
        command="\u0440\u0456p",
        args=[f"a{RIGHT_TO_LEFT}b\nc"],
        reason=f"x{RIGHT_TO_LEFT}\ny",
    )
    assert "<U+0440><U+0456>p" in wanted.text
    assert RIGHT_TO_LEFT not in wanted.text
    assert "a<U+202E>b" in wanted.text
    assert wanted.text.count("\n") == 3, "neither an argument nor a reason begins a line"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"name": "x"}, "either command or url", id="neither"),
        pytest.param({"name": "x", "command": "a", "url": "https://b"}, "either command or url", id="both"),
        pytest.param({"name": "a b", "command": "a"}, "letters, digits", id="name"),
        pytest.param({"name": "x", "command": "a", "env": {"A=B": "c"}}, "no valid name", id="variable"),
        pytest.param({"name": "x", "command": "a", "env": {"A": 1}}, "values are strings", id="number"),
        pytest.param({"name": "x", "url": "https://me:pw@b"}, "no user and no password", id="password"),
        pytest.param({"name": "x", "url": "ftp://b"}, "address such as", id="scheme"),
        pytest.param({"name": "x", "url": "https://b", "headers": {"A": "b\nC: d"}}, "ASCII", id="header"),
        pytest.param({"name": "x", "command": "a", "args": ["b"] * 51}, "50 texts", id="many"),
        pytest.param({"name": "x", "command": "a", "cwd": "/"}, "cwd is unknown", id="unknown"),
    ],
)
async def test_bad_servers_are_refused(stage: Stage, values: dict[str, object], words: str) -> None:
    with pytest.raises(ActionRefused, match=words):
        await stage.check(AddMcpServer, **values)


async def test_a_server_of_the_owner_is_never_replaced(stage: Stage) -> None:
    stage.container({"mcpServers": {"notes": {"command": "good"}}})
    with pytest.raises(ActionRefused, match="has a server notes already"):
        await stage.check(AddMcpServer, name="notes", command="evil")


# -- mounts ------------------------------------------------------------------------


@pytest.fixture
def files() -> Iterator[Path]:
    """Return a folder on a disk: pytest's may be in /dev/shm, which no agent is given."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


def _listed(stage: Stage, files: Path, *lines: str) -> Path:
    """Let agents have a folder of this machine; return it."""
    shared = files / "photos"
    shared.mkdir()
    stage.installation = evolve(stage.installation, environ={"XDG_CONFIG_HOME": str(files)})
    file = files / "nanoclaw" / "mounts.toml"
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o700)
    file.write_text("\n".join(("[[allow]]", f'path = "{shared}"', *lines)))
    file.chmod(0o600)
    return shared


async def test_a_card_shows_the_resolved_path(stage: Stage, files: Path) -> None:
    shared = _listed(stage, files, "read_only = false")
    (files / "link").symlink_to(shared)
    wanted = await stage.check(RequestMount, path=str(files / "link"), name="p", write=True)
    assert wanted.payload == {"source": str(shared), "target": "/mnt/p", "readOnly": False}
    assert f"READ AND WRITE this, with all that is in it:\n{shared}\n" in wanted.text


async def test_paths_that_are_not_listed_are_refused_alike(stage: Stage, files: Path) -> None:
    _listed(stage, files)
    said = set[str]()
    for path in ("/etc/passwd", "/nowhere/at/all", str(stage.home / "data")):
        with pytest.raises(ActionRefused) as refused:
            await stage.check(RequestMount, path=path)
        said.add(str(refused.value))
    assert len(said) == 1, "an agent cannot find out what exists"


async def test_a_folder_to_read_is_not_given_to_write(stage: Stage, files: Path) -> None:
    shared = _listed(stage, files)
    with pytest.raises(ActionRefused, match="only read"):
        await stage.check(RequestMount, path=str(shared), write=True)
    assert (await stage.check(RequestMount, path=str(shared))).payload["readOnly"] is True


async def test_a_mount_that_is_there_and_a_taken_place_are_refused(stage: Stage, files: Path) -> None:
    shared = _listed(stage, files)
    stage.container({"mounts": [{"source": str(shared), "target": "/mnt/photos"}]})
    with pytest.raises(ActionRefused, match="has that folder already"):
        await stage.check(RequestMount, path=str(shared))
    (shared / "more").mkdir()
    with pytest.raises(ActionRefused, match="taken by another mount"):
        await stage.check(RequestMount, path=str(shared / "more"), name="photos")


async def test_an_agent_cannot_have_folders_searched_all_the_time(stage: Stage, files: Path) -> None:
    shared, kind = _listed(stage, files), RequestMount(stage.installation)
    await stage.check(lambda _: kind, path=str(shared))
    with pytest.raises(ActionRefused, match="one folder at a time"):
        await stage.check(lambda _: kind, path=str(shared))


@pytest.mark.parametrize("path", ["relative", "/a/../b", "~nobody-here/x", "/a\0b"])
async def test_a_path_is_absolute_and_plain(stage: Stage, files: Path, path: str) -> None:
    _listed(stage, files)
    with pytest.raises(ActionRefused):
        await stage.check(RequestMount, path=path)


# -- budgets -----------------------------------------------------------------------


async def _limited(stage: Stage, amount: int) -> None:
    await stage.run(budgets.put, BudgetRow("agent:ag-main", "money", amount, NOW))


async def test_a_card_shows_both_limits_and_approval_sets_the_new_one(stage: Stage) -> None:
    await _limited(stage, 2_000_000)
    wanted = await stage.check(RequestBudget, measure="money", amount="5.50")
    assert "now $2.00, then $5.50" in wanted.text
    _, result = await stage.decide(RequestBudget, wanted)
    [row] = await stage.run(budgets.every)
    assert (row.amount, result["amount"]) == (5_500_000, 5.5)


async def test_a_rejected_budget_changes_nothing(stage: Stage) -> None:
    await _limited(stage, 2_000_000)
    await stage.decide(RequestBudget, await stage.check(RequestBudget, measure="money", amount=3), "rejected")
    [row] = await stage.run(budgets.every)
    assert row.amount == 2_000_000


async def test_a_limit_that_somebody_raised_meanwhile_is_not_lowered(stage: Stage) -> None:
    await _limited(stage, 2_000_000)
    wanted = await stage.check(RequestBudget, measure="money", amount=3)
    await _limited(stage, 9_000_000)
    with pytest.raises(ActionRefused, match="raised, or removed"):
        await stage.decide(RequestBudget, wanted)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"measure": "money", "amount": 2}, "already"),
        ({"measure": "money", "amount": -1}, "an amount of dollars"),
        ({"measure": "money", "amount": "nan"}, "an amount of dollars"),
        ({"measure": "money", "amount": float("inf")}, "an amount of dollars"),
        ({"measure": "money", "amount": True}, "an amount of dollars"),
        ({"measure": "tokens", "amount": "many"}, "a whole number"),
        ({"measure": "love", "amount": 2}, "measure must be one of"),
        ({"measure": "money", "amount": 3, "scope": "day"}, "scope must be"),
    ],
)
async def test_bad_budgets_are_refused(stage: Stage, values: dict[str, object], words: str) -> None:
    await _limited(stage, 2_000_000)
    with pytest.raises(ActionRefused, match=words):
        await stage.check(RequestBudget, **values)


# -- agents ------------------------------------------------------------------------


async def test_an_agent_gets_a_row_and_destinations_both_ways(stage: Stage) -> None:
    wanted = await stage.check(CreateAgent, name="Recipe Cook", instructions="Cook.\nAsk first.")
    assert "│ Cook.\n│ Ask first." in wanted.text
    _, result = await stage.decide(CreateAgent, wanted)
    made = await stage.run(agent_groups.by_folder, "recipe-cook")
    assert made is not None
    assert (made.id, made.name) == (result["agent"], "Recipe Cook")
    [there] = await stage.run(destinations.of_agent, "ag-main")
    [back] = await stage.run(destinations.of_agent, made.id)
    assert (there.local_name, there.target_id) == ("recipe-cook", made.id)
    assert (back.local_name, back.target_id) == ("main", "ag-main")
    assert result["destination"] == "recipe-cook"


async def test_a_name_is_taken_once_in_any_case(stage: Stage) -> None:
    for name in ("main", "MAIN", "Main "):
        with pytest.raises(ActionRefused, match="choose another name"):
            await stage.check(CreateAgent, name=name)
    wanted = await stage.check(CreateAgent, name="Cook")
    await stage.decide(CreateAgent, wanted)
    with pytest.raises(ActionRefused, match="choose another name"):
        await stage.decide(CreateAgent, wanted)


async def test_names_of_two_hundred_letters_and_of_none_become_short_folders(stage: Stage) -> None:
    for name, folder in (("x" * 200, "x" * 60), ("厨师", "agent"), ("../../etc", "etc")):
        _, result = await stage.decide(CreateAgent, await stage.check(CreateAgent, name=name))
        assert result["folder"] == folder
        assert len(str(result["destination"])) <= 40
    for name in ("x" * 201, " ", f"a{RIGHT_TO_LEFT}b", "a\nb"):
        with pytest.raises(ActionRefused):
            await stage.check(CreateAgent, name=name)


async def test_the_folder_of_a_deleted_agent_is_not_taken_over(stage: Stage) -> None:
    (stage.home / "groups" / "Cook").mkdir()
    _, result = await stage.decide(CreateAgent, await stage.check(CreateAgent, name="cook"))
    assert result["folder"] == "cook-2"


async def test_equal_destinations_get_names_of_their_own(stage: Stage) -> None:
    other = AgentGroup("ag-o", "Other", "other", None, NOW)
    await stage.run(agent_groups.create, other)
    for name in ("Cook!", "Cook?"):
        await stage.decide(CreateAgent, await stage.check(CreateAgent, name=name))
    names = [each.local_name for each in await stage.run(destinations.of_agent, "ag-main")]
    assert names == ["cook", "cook-2"]


async def test_an_agent_creates_five_a_day(stage: Stage) -> None:
    for n in range(5):
        await stage.decide(CreateAgent, await stage.check(CreateAgent, name=f"n{n}"))
    with pytest.raises(ActionRefused, match="may create 5 agents within 24 hours"):
        await stage.check(CreateAgent, name="n5")


# -- the file ------------------------------------------------------------------------


def test_what_a_killed_host_left_beside_the_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".container.json.new").write_text("half of")
    change_container_json(tmp_path, adding_packages({"pip": ["rich"]}))
    assert [each.name for each in tmp_path.iterdir()] == ["container.json"]
    assert (tmp_path / "container.json").stat().st_mode & 0o777 == 0o600


def test_a_change_that_makes_the_file_invalid_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadContainerJson, match="pip"):
        change_container_json(tmp_path, adding_packages({"pip": ["--evil"]}))
    assert list(tmp_path.iterdir()) == []


def test_a_change_keeps_the_mode_and_follows_a_link(tmp_path: Path) -> None:
    real, folder = tmp_path / "kept.json", tmp_path / "main"
    folder.mkdir()
    real.write_text(json.dumps({"env": {"A": "b"}}))
    real.chmod(0o640)
    (folder / "container.json").symlink_to(real)
    change_container_json(folder, adding_packages({"pip": ["rich"]}))
    assert json.loads(real.read_text()) == {"env": {"A": "b"}, "packages": {"pip": ["rich"]}}
    assert real.stat().st_mode & 0o777 == 0o640
    assert (folder / "container.json").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept.json", "main"]
