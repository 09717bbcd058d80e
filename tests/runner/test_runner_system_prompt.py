"""The system prompt, and the files that it is made of."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from agent_runner.errors import NotesUnavailable
from agent_runner.knowledge.notes import Notes
from agent_runner.log import Log
from agent_runner.prompt import system_prompt
from agent_runner.providers import ProviderContext
from agent_runner.providers.http import NoHttp
from agent_runner.records import Address, Destination, Notebook, Turn
from nanoclaw.testing.conformance.contexts import MemoryEvents, MemoryState, session_context
from tests.runner.test_runner_tools import call
from tests.runner.world import SCHEMA, InlineExecutor, VirtualClock, World

TURN = Turn("turn-1", (), assistant_name="Nano", timezone="Europe/Berlin")


@pytest.fixture
def context() -> Iterator[ProviderContext]:
    with session_context(MemoryState(), NoHttp(), {}) as context:
        context.shared.mkdir()
        yield context


def skill(
    root: Path, name: str, text: str = "---\nname: {0}\ndescription: Does {0}.\n---\nDo {0}.\n"
) -> None:
    folder = root / "skills" / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text.format(name))


# -- instructions ----------------------------------------------------------------------


async def test_shared_instructions_come_before_the_agents_own(context: ProviderContext) -> None:
    (context.shared / "CLAUDE.md").write_text("Be kind.")
    (context.workspace / "CLAUDE.md").write_text("Be <brief>.")
    (context.workspace / "AGENTS.md").write_text("Use lists.")
    prompt = await system_prompt(context, TURN)
    found = [prompt.index(text) for text in ("Be kind.", "Be &lt;brief&gt;.", "Use lists.")]
    assert found == sorted(found)


async def test_the_same_instructions_under_both_names_are_shown_once(context: ProviderContext) -> None:
    (context.workspace / "CLAUDE.md").write_text("Be brief.")
    (context.workspace / "AGENTS.md").symlink_to("CLAUDE.md")
    assert (await system_prompt(context, TURN)).count("Be brief.") == 1


async def test_a_long_file_is_shown_as_far_as_there_is_room(context: ProviderContext) -> None:
    (context.workspace / "CLAUDE.md").write_text("ä" * 500_000)
    prompt = await system_prompt(context, TURN)
    assert prompt.count("ä") == 40_000
    assert "[… only the first 40,000 characters of 1,000,000 bytes are shown …]" in prompt


async def test_a_file_is_read_again_when_it_changes(context: ProviderContext) -> None:
    path = context.workspace / "CLAUDE.md"
    path.write_text("one")
    assert "\none\n" in await system_prompt(context, TURN)
    path.write_text("three")
    assert "\nthree\n" in await system_prompt(context, TURN)
    path.unlink()
    assert "three" not in await system_prompt(context, TURN)


def not_utf8(path: Path) -> None:
    path.write_bytes(b"abc\xff")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("gone")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (not_utf8, "it is not UTF-8 at byte 3"),
        (fifo, "it is not a regular file"),
        (folder, "it is not a regular file"),
        (link_out, "it is a link to a place outside of its folder"),
        (link_to_nothing, "it is a link that leads nowhere"),
        (link_to_itself, "Symlink loop from"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_with_the_reason_and_recorded_once(
    context: ProviderContext, make: Callable[[Path], None], reason: str
) -> None:
    make(context.workspace / "CLAUDE.md")
    for _ in range(2):
        assert f'file="CLAUDE.md" unusable="{reason}' in await system_prompt(context, TURN)
    assert isinstance(context.events, MemoryEvents)
    [(kind, data)] = context.events.recorded
    assert kind == "error"
    assert reason in str(data["reason"])


# -- skills ------------------------------------------------------------------------------


async def test_skills_are_listed_and_the_agents_own_replaces_a_shared_one(context: ProviderContext) -> None:
    skill(context.shared, "cook")
    skill(context.shared, "bake")
    skill(context.workspace, "cook", "---\nname: cook\ndescription: Cooks <my> way.\n---\n")
    prompt = await system_prompt(context, TURN)
    assert '<skill name="bake">Does bake.</skill>\n<skill name="cook">Cooks &lt;my&gt; way.</skill>' in prompt
    assert "Do bake." not in prompt


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no header", "it has no header: its first line must be ---"),
        ("---\nname: x\n", "its header does not end within 4,096 characters: put a line --- there"),
        ("---\n" + "a: b\n" * 2000 + "---\n", "its header does not end within 4,096 characters"),
        ("---\nname: x\n---\n", "its header has no description"),
        ("---\nname: [x]\ndescription: y\n---\n", "its header: name must be a text, got list"),
        ("---\n- x\n---\n", "its header must have the keys name and description"),
        ("---\ndescription: a: b\n---\n", "its header is not YAML: mapping values are not allowed here"),
        ("---\n" + "[" * 4000 + "\n---\n", "its header is not YAML"),
        (
            "---\nx: !!python/object/apply:os.system [ls]\n---\n",
            "its header is not YAML: could not determine",
        ),
        (
            "---\nname: x\ndescription: " + "y" * 1025 + "\n---\n",
            "its header: description has 1,025 characters",
        ),
    ],
)
async def test_a_skill_with_a_bad_header_is_named_as_unusable(
    context: ProviderContext, text: str, reason: str
) -> None:
    skill(context.workspace, "odd", text)
    skill(context.workspace, "fine")
    prompt = await system_prompt(context, TURN)
    assert f'<unusable_skill folder="odd">SKILL.md: {reason}' in prompt
    assert '<skill name="fine">' in prompt


async def test_the_body_of_a_skill_is_read_when_it_is_used(world: World) -> None:
    skill(world.config.workspace, "cook")
    assert await call(world, 2, "use_skill", name="cook") == "Do cook."
    assert await call(world, 4, "use_skill", name="bake") == "there is no skill 'bake'; there are: cook"


# -- destinations and notes ------------------------------------------------------------------


async def test_destinations_are_named_with_their_kinds(context: ProviderContext) -> None:
    turn = evolve(
        TURN,
        home=Address("tg", "1", "t"),
        destinations=(
            Destination("cook", "cook", Address("agent", "ag-2")),
            Destination("family", "The <Family>", Address("tg", "1")),
        ),
    )
    prompt = await system_prompt(context, turn)
    assert '<destination name="cook" kind="agent"/>' in prompt
    assert '<destination name="family" kind="chat on tg" known_as="The &lt;Family&gt;" here="yes"/>' in prompt


async def test_the_newest_and_the_most_used_notes_are_shown(context: ProviderContext) -> None:
    notes = Notes(context.workspace, SCHEMA, InlineExecutor(), VirtualClock(), Log())
    for number in range(1, 31):
        await notes.remember(f"fact {number}.")
    await notes.recall("3")
    prompt = await system_prompt(evolve(context, notes=notes), TURN)
    shown = [number for number in range(1, 31) if f">fact {number}.<" in prompt]
    assert shown == [3, *range(11, 31)]
    assert "(9 more: `recall` finds them)" in prompt


async def test_long_notes_are_cut_and_share_the_room(context: ProviderContext) -> None:
    notes = Notes(context.workspace, SCHEMA, InlineExecutor(), VirtualClock(), Log())
    for number in range(20):
        await notes.remember(f"{number} " + "x" * 3900)
    prompt = await system_prompt(evolve(context, notes=notes), TURN)
    assert prompt.count("<note id=") == 16
    assert "(4 more: `recall` finds them)" in prompt


async def test_damaged_notes_are_told_to_the_agent(context: ProviderContext) -> None:
    (context.workspace / "notes.db").write_text("damaged" * 100)
    notes = Notes(context.workspace, SCHEMA, InlineExecutor(), VirtualClock(), Log())
    prompt = await system_prompt(evolve(context, notes=notes), TURN)
    assert "Earlier notes were damaged. They are kept in notes.db.damaged-20250301-120000-" in prompt


async def test_notes_that_cannot_be_used_now_are_named(context: ProviderContext) -> None:
    class Unavailable:
        set_aside = None

        async def notebook(self) -> Notebook:
            raise NotesUnavailable("the notes are in use")

    assert '<notes unusable="the notes are in use"/>' in await system_prompt(
        evolve(context, notes=Unavailable()), TURN
    )


async def test_what_changes_least_comes_first(context: ProviderContext) -> None:
    skill(context.workspace, "cook")
    (context.workspace / "CLAUDE.md").write_text("Be brief.")
    home = Destination("home", "home", Address("tg", "1"))
    prompt = await system_prompt(context, evolve(TURN, destinations=(home,)))
    order = [
        "You are Nano",
        "# What you get",
        "# Your tools",
        "Europe/Berlin",
        "<instructions whose",
        "<skills>",
        "<destinations>",
    ]
    found = [prompt.index(each) for each in order]
    assert found == sorted(found)


async def test_of_too_many_skills_the_first_are_listed_and_the_prompt_says_so(
    context: ProviderContext,
) -> None:
    for number in range(201):
        skill(context.workspace, f"s{number:03}")
    prompt = await system_prompt(context, TURN)
    assert "only the first 200 of 201 folders are looked at" in prompt
    assert 'name="s199"' in prompt
    assert 'name="s200"' not in prompt


# -- the sandbox -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sandboxed", "proxy", "told"),
    [
        (False, None, "You have these tools and nothing else: no shell"),
        (True, None, "You cannot reach the web."),
        (True, "http://127.0.0.1:9", "The only way into the web is a proxy"),
    ],
)
async def test_the_agent_is_told_what_it_can_reach(
    context: ProviderContext,
    *,
    sandboxed: bool,
    proxy: str | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    prompt = await system_prompt(evolve(context, sandboxed=sandboxed), TURN)
    assert told in prompt
    assert ("You have a shell, files and the web" in prompt) == sandboxed


async def test_tool_servers_that_do_not_work_are_named(context: ProviderContext) -> None:
    states = {"good": "8 tools", "bad": "does not work: it said: </tool_servers>"}
    prompt = await system_prompt(evolve(context, tool_servers=states), TURN)
    assert (
        '<tool_servers>\n<server name="bad" state="does not work: it said: &lt;/tool_servers&gt;"/>\n'
        "</tool_servers>"
    ) in prompt
    assert "good" not in prompt.partition("<tool_servers>")[2]
