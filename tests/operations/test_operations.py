"""The effects of operations, called from outside by name."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from nanoclaw.operations import BadNoun, Caller, Catalogue, Noun, OperationFailed, Right, operation
from nanoclaw.records import Address, Session
from nanoclaw.store import NotFound
from nanoclaw.store.session.views import open_tasks
from tests.cli.commands import change, rows
from tests.operations.desk import Desk, a_desk


async def test_the_documented_calls_of_operations_work(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.perform("agents.create", folder="helper", name="Helper")
        await desk.perform("chats.create", address="cli:notes", name="Notes")
        await desk.perform(
            "wirings.create",
            chat="cli:notes",
            agent="helper",
            session_mode="per-thread",
            trigger={"pattern": "^help"},
        )
        await desk.perform("users.create", user="tg:1", name="Ann")
        await desk.perform("roles.grant", user="tg:1", role="admin", agent="helper")
        await desk.perform("members.add", user="tg:2", agent="helper")
        [member] = await desk.perform("members.list", agent="helper")
        await desk.perform("destinations.add", agent="helper", name="notes", chat="cli:notes")
        [destination] = await desk.perform("destinations.list", agent="helper")
        assert (member["user_id"], member["agent"]) == ("tg:2", "helper")
        assert (destination["local_name"], destination["target"]) == ("notes", "cli:notes")
        assert await desk.perform("tasks.list") == await desk.perform("sessions.list") == []
        assert (tmp_path / "groups/helper/workspace").is_dir()


async def test_an_added_destination_outlives_the_wiring_that_created_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        wiring = await desk.admin.wirings.connect(Address("cli", "notes"), "helper", chat_name="Notes")
        await desk.perform("destinations.add", agent="helper", name="notes", chat="cli:notes")
        await desk.perform("wirings.delete", wiring=wiring.id)
        assert len(await desk.perform("destinations.list", agent="helper")) == 1


async def test_a_thing_can_be_referred_to_by_any_of_its_names(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.perform("agents.create", folder="helper", name="My Helper")
        session = await desk.session("notes", "helper", "7")
        for name in ("helper", "my helper", session.agent_group_id, session.agent_group_id[:8]):
            assert (await desk.perform("agents.show", agent=name))["folder"] == "helper"
        for name in (session.id, session.id[:9], "cli:notes/7"):
            assert (await desk.perform("sessions.show", session=name))["id"] == session.id
        for name in ("cli:notes", str(session.messaging_group_id)):
            assert (await desk.perform("chats.show", chat=name))["chat"] == "cli:notes"
        for name in ("cli:notes", "cli:notes=helper"):
            assert (await desk.perform("wirings.show", wiring=name))["agent"] == "helper"


async def test_an_ambiguous_name_is_refused_and_its_matches_are_listed(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for folder in ("one", "two"):
            await desk.perform("agents.create", folder=folder, name="Twin")
        with pytest.raises(OperationFailed, match="several agents: one, two; give one of these"):
            await desk.perform("agents.show", agent="twin")


async def test_a_display_name_that_equals_an_id_cannot_impersonate_its_owner(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        await desk.perform("users.create", user="tg:666", name="tg:2")
        await desk.perform("members.add", user="tg:2", agent="main")
        assert [one["user_id"] for one in await desk.perform("members.list")] == ["tg:2"]
        await desk.perform("chats.create", address="tg:666", name="cli:notes")
        with pytest.raises(OperationFailed, match="there is no chat 'cli:notes'"):
            await desk.perform("chats.show", chat="cli:notes")
        with pytest.raises(OperationFailed, match="there is no user 'tg:6'"):
            await desk.perform("users.show", user="tg:6")


async def test_creating_an_existing_thing_fails_with_a_clear_message(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        for name, params in (
            ("agents.create", {"folder": "main"}),
            ("chats.create", {"address": "cli:terminal"}),
            ("wirings.create", {"chat": "cli:terminal", "agent": "main"}),
        ):
            with pytest.raises(OperationFailed, match=r"(there is an? .* already|listens to .* already)"):
                await desk.perform_with(name, params)


async def test_creating_an_agent_continues_after_a_try_that_only_made_its_folder(tmp_path: Path) -> None:
    workspace = tmp_path / "groups/helper/workspace"
    workspace.mkdir(parents=True)
    (workspace / "notes").write_text("mine")
    async with a_desk(tmp_path) as desk:
        await desk.perform("agents.create", folder="helper")
        assert (workspace / "notes").read_text() == "mine"


async def test_a_user_who_is_not_a_member_cannot_be_removed(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        await desk.perform("users.create", user="tg:1")
        with pytest.raises(OperationFailed, match="tg:1 is no member of main"):
            await desk.perform("members.remove", user="tg:1", agent="main")


# -- tasks on files --------------------------------------------------------------


async def test_a_task_is_paused_resumed_run_and_cancelled(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.task(session, recurrence="@every 3600")

        async def states() -> list[tuple[str, Any]]:
            return [(one["status"], one["next_run"]) for one in await desk.perform("tasks.list")]

        [(_, planned)] = await states()
        assert (await desk.perform("tasks.pause", task="task-t"))["status"] == "paused"
        assert await states() == [("paused", planned)]
        with pytest.raises(OperationFailed, match="paused already"):
            await desk.perform("tasks.pause", task="task-tea")
        with pytest.raises(OperationFailed, match="resume it first"):
            await desk.perform("tasks.run", task="task-tea")
        assert (await desk.perform("tasks.resume", task="task-tea"))["status"] == "pending"
        ran = await desk.perform("tasks.run", task="task-tea")
        assert ran["next_run"] < planned
        assert (await desk.perform("tasks.cancel", task="task-tea"))["status"] == "cancelled"
        assert await states() == []
        with pytest.raises(OperationFailed, match="has ended; see `nanoclaw tasks history task-tea`"):
            await desk.perform("tasks.show", task="task-tea")


async def test_tasks_with_the_same_id_in_two_sessions_are_distinguished(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        one, two = await desk.session("one"), await desk.session("two")
        await desk.task(one)
        await desk.task(two)
        with pytest.raises(OperationFailed, match="several tasks"):
            await desk.perform("tasks.pause", task="task-tea")
        await desk.perform("tasks.pause", task=f"{two.id}/task-tea")
        states = {each["session_id"]: each["status"] for each in await desk.perform("tasks.list")}
        assert states == {one.id: "pending", two.id: "paused"}


async def test_an_unreadable_session_file_is_skipped_and_named(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        sick, well = await desk.session("sick"), await desk.session("well")
        await desk.task(well)
        desk.paths(sick).inbound_db.write_bytes(b"no database" * 1000)
        assert [one["session_id"] for one in await desk.perform("tasks.list")] == [well.id]
        [note] = desk.notes
        assert note.startswith(f"session {sick.id} is left out: ")
        with pytest.raises(OperationFailed, match=f"in the files that can be read; session {sick.id}: "):
            await desk.perform("tasks.pause", task="task-other")


async def test_a_changed_session_file_is_read_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        for n in range(20):
            await desk.task(session, f"task-{n}")
            [read] = await desk.ground.files.inbound([session], "tasks", open_tasks)
            assert len(read.value) == n + 1


# -- adding a noun -----------------------------------------------------------------


@frozen
class Greetings(Noun):
    """A noun from another package."""

    name = "greetings"
    summary = "words for agents"

    @operation(right=Right.ADMIN, reads=True)
    async def say(self, whom: str, *, times: int = 1) -> str:
        """Say hello.

        Args:
            whom: a name.
            times: how often.
        """
        return f"hello {whom} " * times


async def test_one_class_adds_an_operation(tmp_path: Path) -> None:
    async with a_desk(tmp_path, Greetings) as desk:
        assert await desk.perform("greetings.say", whom="Ann", times=2) == "hello Ann hello Ann "
        with pytest.raises(OperationFailed, match="times: must be a whole number"):
            await desk.perform("greetings.say", whom="Ann", times="two")


async def test_an_error_of_a_package_is_a_refusal(tmp_path: Path) -> None:
    class Faulty(Noun):
        name = "faulty"
        summary = "fails"

        @operation(right=Right.ADMIN)
        async def fail(self, *, how: str) -> None:
            """Fail.

            Args:
                how: the error.
            """
            async with trio.open_nursery():
                raise {"found": NotFound("there is no such thing"), "value": ValueError("x")}[how]

    async with a_desk(tmp_path, Faulty) as desk:
        with pytest.raises(OperationFailed, match="there is no such thing") as refused:
            await desk.perform("faulty.fail", how="found")
        assert refused.value.code == "not_found"
        with pytest.raises(OperationFailed, match=r"faulty.fail failed: ValueError\('x'\)"):
            await desk.perform("faulty.fail", how="value")


def test_two_nouns_with_the_same_name_are_refused() -> None:
    with pytest.raises(BadNoun, match="'greetings' cannot be added"):
        Catalogue.of([Greetings, Greetings])


def test_an_undocumented_parameter_is_refused() -> None:
    @frozen
    class Silent(Noun):
        name = "silent"

        @operation(right=Right.ADMIN)
        async def do(self, what: str) -> str:
            """Do it."""
            return what

    with pytest.raises(BadNoun, match="the parameter what has no line under Args"):
        Catalogue.of([Silent])


# -- questions on files ----------------------------------------------------------


async def ask(desk: Desk, session: Session) -> None:
    await desk.admin.questions.create("q-1", session.id, "out-1", title="Ship it?", options=["Yes"])


async def test_a_question_that_is_deleted_without_a_host_is_answered_in_the_file(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await ask(desk, session)
        await desk.perform("questions.delete", question="q-1")
        assert await desk.perform("questions.list") == []
        assert rows(desk.paths(session).inbound_db, "SELECT id, trigger, content FROM messages_in") == [
            ("answer-out-1", 0, '{"type":"question_response","questionId":"q-1","withdrawn":true}')
        ]


async def test_the_list_of_questions_says_who_may_answer_and_until_when(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.admin.questions.create(
            "q-1", session.id, "out-1", title="T", options=["Yes"], who="asker", asker="tg:1", expires_s=60
        )
        [question] = await desk.admin.questions.list()
        assert question.expires_at == question.created_at + timedelta(seconds=60)
        [shown] = await desk.perform("questions.list")
        assert (shown["who"], shown["asker"], "expires_at" in shown) == ("asker", "tg:1", True)


async def test_the_withdrawal_of_a_question_is_parked_if_the_session_file_is_damaged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await ask(desk, session)
        desk.paths(session).inbound_db.write_bytes(b"no database" * 1000)
        await desk.perform("questions.delete", question="q-1")
        assert await desk.perform("questions.list") == []
        [parked] = await desk.admin.parked.for_session(session.id)
        assert '"withdrawn": true' in parked.event


# -- refusals with a reason ---------------------------------------------------------


async def test_an_archived_session_cannot_be_paused(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.perform("sessions.archive", session=session.id)
        with pytest.raises(OperationFailed, match="is archived, so its conversation is over"):
            await desk.perform("sessions.pause", session=session.id)
        assert (await desk.perform("sessions.show", session=session.id))["status"] == "archived"


@pytest.mark.parametrize(("verb", "status"), [("pause", "paused"), ("archive", "archived")])
async def test_a_task_cannot_be_run_while_its_session_is_paused(
    tmp_path: Path, verb: str, status: str
) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.task(session, recurrence="@every 3600")
        await desk.perform(f"sessions.{verb}", session=session.id)
        with pytest.raises(OperationFailed, match=f"its session {session.id} is {status}; resume it first"):
            await desk.perform("tasks.run", task="task-tea")
        [task] = await desk.perform("tasks.list")
        assert (task["held"], task["next_run"]) == (f"its session is {status}", None)


async def test_running_a_task_keeps_its_creation_time(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.task(session, recurrence="@every 3600")
        change(
            desk.paths(session).inbound_db, "UPDATE messages_in SET timestamp = '2020-01-01T00:00:00.000Z'"
        )
        await desk.perform("tasks.run", task="task-tea")
        [task] = await desk.perform("tasks.list")
        assert task["created_at"].startswith("2020-01-01")


async def test_the_confirmation_before_archiving_names_the_open_tasks(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.task(session)
        question = await desk.operations.question("sessions.archive", {"session": session.id}, Caller.local())
        assert question.startswith(
            "It has 1 open task, which does not run any more: task-tea. Archive session "
        )
        assert await desk.operations.question("sessions.pause", {"session": session.id}, Caller.local()) == ""


async def test_the_confirmation_before_deleting_a_missing_thing_fails(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(OperationFailed, match="there is no user 'tg:77'"):
            await desk.operations.question("users.delete", {"user": "tg:77"}, Caller.local())


async def test_the_history_of_a_cancelled_task_shows_the_cancellation(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.task(await desk.session())
        await desk.perform("tasks.cancel", task="task-tea")
        [run] = await desk.perform("tasks.history", task="task-tea")
        assert (run["outcome"], run["tries"], run["started_at"]) == ("cancelled", None, None)


@pytest.mark.parametrize("last", [0, -1, 1001])
async def test_a_number_out_of_bounds_is_refused(tmp_path: Path, last: int) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(OperationFailed, match=f"last: must be between 1 and 1,000, got {last}"):
            await desk.perform("tasks.history", task="task-tea", last=last)


async def test_the_only_owner_cannot_be_removed(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.perform("roles.grant", user="tg:1", role="owner")
        for name, params in (
            ("roles.revoke", {"user": "tg:1", "role": "owner"}),
            ("users.delete", {"user": "tg:1"}),
        ):
            with pytest.raises(OperationFailed, match="tg:1 is the only owner"):
                await desk.perform_with(name, params)
        await desk.perform("roles.grant", user="tg:2", role="owner")
        await desk.perform("roles.revoke", user="tg:1", role="owner")


async def test_a_refusal_refers_to_rows_by_their_readable_names(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        await desk.perform("agents.create", folder="helper")
        await desk.perform("destinations.add", agent="helper", name="boss", to_agent="main")
        with pytest.raises(OperationFailed) as caught:
            await desk.perform("agents.delete", agent="main")
        text = str(caught.value)
        assert text.startswith("agent main is still referred to by wirings cli:terminal=main, sessions sess-")
        assert "destinations boss of agent helper" in text


async def test_meaningless_arguments_are_refused_with_a_clear_message(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        for name, params, error in (
            ("wirings.set", {"trigger": {"pattren": "^x"}}, "no key 'pattren'; did you mean pattern?"),
            ("destinations.add", {"agent": "main", "to_agent": "main"}, "an agent cannot send to itself"),
            ("agents.set", {"agent": "main", "name": "a\u202eb"}, r"must not contain the character U\+202E"),
            ("agents.create", {"folder": "e1", "name": " "}, "name: must not be blank"),
            ("chats.show", {"chat": "tg:" + "x" * 900}, "there is no chat"),
            ("wirings.set", {"priority": 10**400}, "priority: must be between"),
        ):
            more = {"wiring": "cli:terminal"} if name == "wirings.set" else {}
            with pytest.raises(OperationFailed, match=error):
                await desk.perform_with(name, {**params, **more})


async def test_an_ambiguous_id_prefix_is_reported(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        for name in ("one", "two"):
            await desk.task(session, f"task-{name}")
        with pytest.raises(OperationFailed, match="'task-' begins the ids of several tasks: "):
            await desk.perform("tasks.show", task="task-")


async def test_a_question_is_listed_with_an_id_field(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await ask(desk, await desk.session())
        [listed] = await desk.perform("questions.list")
        assert listed["id"] == listed["question_id"] == "q-1"


async def test_create_and_show_return_the_same_time(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        made = await desk.perform("agents.create", folder="helper")
        assert made == await desk.perform("agents.show", agent="helper")


def test_an_operation_that_returns_a_list_of_strings_is_refused() -> None:
    @frozen
    class Texts(Noun):
        name = "texts"

        @operation(right=Right.ADMIN)
        async def list(self) -> Sequence[str]:
            """List texts."""
            return []

    with pytest.raises(BadNoun, match="the result is a list of str"):
        Catalogue.of([Texts])


async def test_a_session_may_have_a_provider_and_a_model_of_its_own(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.perform("agents.create", folder="helper", name="Helper")
        session = await desk.session("notes", "helper", "7")

        async def shown(**changes: Any) -> tuple[object, object]:
            await desk.perform("sessions.set", session=session.id, **changes)
            found = await desk.perform("sessions.show", session=session.id)
            return found["agent_provider"], found["model"]

        assert await shown(model="small") == (None, "small")
        assert await shown(provider="openai") == ("openai", None)  # a name belongs to its provider
        assert await shown(provider="openai", model="large") == ("openai", "large")
        assert await shown(model="") == ("openai", None)
        assert await shown(provider="") == (None, None)
        with pytest.raises(OperationFailed, match="give --provider or --model"):
            await desk.perform("sessions.set", session=session.id)
