"""Query plans of the hot path: every statement of host and runner during a session's life.

    python -m tests.store.plans --write

writes them into docs/performance.md. The statements are traced while they run, in a session with a long
history.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
from attrs import field, frozen

from nanoclaw.logs import configure_logging
from nanoclaw.records import SessionPaths
from nanoclaw.testing import World, simulate
from tests.store.history import ROWS, add_history

PERFORMANCE = Path(__file__).parents[2] / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- generated: plans -->\n).*?(<!-- end -->)", re.DOTALL)
FILES = ("inbound.db", "outbound.db")
SMALL = frozenset({"destinations", "session_routing", "container_state", "json_each", "CONSTANT"}) | {
    "sqlite_schema",
    "main.sqlite_schema",
    "pragma_table_info",
    "l",
    "c",
}
"""Tables that a plan may scan, because they stay small. The last five are SQLite's schema."""
OPEN = frozenset({"idx_messages_in_pending", "idx_messages_in_open_tasks", "idx_deliveries_open"})
"""Partial indexes of open rows. Scanning one reads only open rows."""
SLOW = frozenset({"pruning"})
"""Modules whose statements run once an hour or a day, in batches."""
ONCE = frozenset({"outbound.has_open_claims"})
"""Statements on a week of acks that run once when a runner starts: one millisecond for ten thousand."""


@frozen(order=True)
class Statement:
    """A traced statement. `by` is the function that ran it."""

    file: str
    by: str
    sql: str
    values: object = field(eq=False, order=False)
    plan: tuple[str, ...] = field(default=(), eq=False, order=False)

    @property
    def scans(self) -> list[str]:
        """Return the steps of the plan that scan a growing table."""
        steps = [step.split() for step in self.plan if step.startswith("SCAN")]
        grown = [step for step in steps if step[1] not in SMALL and step[-1] not in OPEN]
        return [" ".join(step) for step in grown if self.by not in ONCE]


def _caller() -> tuple[str, str]:
    """Return the module and function of host or runner that runs the current statement."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        module, function = frame.f_globals["__name__"], frame.f_code.co_qualname
        if re.match(
            r"nanoclaw\.store\.(?!engine\.(?:reader|transactions|patience))|agent_runner\.(?!store)", module
        ):
            return module, function
        frame = frame.f_back
    return "", ""


@contextmanager
def catching(caught: dict[tuple[str, str], Statement]) -> Iterator[None]:
    """Note each statement that new connections to session files run."""

    def watch(connection: apsw.Connection) -> None:
        name = Path(connection.filename).name
        if name in FILES:
            connection.exec_trace = lambda cursor, sql, values: note(name, sql, values)  # noqa: ARG005 -- apsw's

    def note(file: str, sql: str, values: object) -> bool:
        sql = " ".join(sql.split())
        if (file, sql) not in caught and re.match("SELECT|INSERT|UPDATE|DELETE|WITH", sql):
            module, function = _caller()
            by = f"{module.rpartition('.')[2]}.{function.partition('.<')[0]}"
            caught[file, sql] = Statement(file, by, sql, values)
        return True

    apsw.connection_hooks.append(watch)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(watch)


# -- a session's life ----------------------------------------------------------


async def life(world: World, caught: dict[tuple[str, str], Statement], rows: int) -> SessionPaths:
    """Play a first message, add the history, then play every path of a message, and trace all statements."""
    await world.start()
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent("tools", "echo"))
    await ann.says("hello")
    await chat.expect("echo: hello")
    await world.stop()
    [root] = (world.home / "data" / "sessions").glob("*/*")
    add_history(SessionPaths(root), rows)
    with catching(caught):
        await world.start()
        for text in SAID:
            await ann.says(text)
            await world.sleep(5)
        await ann.says("with a file", files={"photo.png": b"x"})
        world.channel.fail("unavailable")
        await ann.says("late")
        await world.sleep(0.3)
        world.kill_runner()
        await world.sleep(120)
        world.channel.fail("unavailable", times=9)
        await ann.says("across a restart")
        await world.sleep(3)
        await world.kill_host()
        await world.start()
        world.channel.heal()
        await world.sleep(600)
        await world.stop()
    return SessionPaths(root)


SAID = (
    "hello again",
    '!send_message {"text": "in the middle"}',
    '!edit_message {"message_id": 1, "text": "changed"}',
    '!add_reaction {"message_id": 2, "emoji": "+1"}',
    '!schedule_task {"prompt": "again", "recurrence": "@every 60"}',
    "!list_tasks {}",
    '!pause_task {"task_id": "series-old"}',
)


def hot_statements(home: Path, rows: int = ROWS) -> Sequence[Statement]:
    """Return every statement of such a life, with its plan."""
    caught = dict[tuple[str, str], Statement]()
    paths = simulate(lambda world: life(world, caught, rows), seed=1, home=home)[0]
    files: Mapping[str, Path] = {"inbound.db": paths.inbound_db, "outbound.db": paths.outbound_db}
    hot = [statement for statement in caught.values() if statement.by.partition(".")[0] not in SLOW]
    return sorted(_planned(files[statement.file], statement) for statement in hot)


def _planned(file: Path, statement: Statement) -> Statement:
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        explained = connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.values)  # type: ignore[arg-type]  # as traced
        steps = tuple(str(row[3]) for row in explained)
    return Statement(statement.file, statement.by, statement.sql, statement.values, steps)


# -- docs/performance.md -------------------------------------------------------


def rendered(statements: Sequence[Statement]) -> str:
    """Return the table of the page: who runs a statement, and how SQLite finds the rows."""
    lines = ["| file | asked by | plan |", "|---|---|---|"]
    for one in statements:
        steps = [step for step in one.plan if step.startswith(("SCAN", "SEARCH")) and "CONSTANT" not in step]
        if steps:
            lines.append(f"| `{one.file}` | `{one.by}` | {'; '.join(dict.fromkeys(map(_short, steps)))} |")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _short(step: str) -> str:
    words = ((" VIRTUAL TABLE INDEX 1:", ""), ("COVERING ", ""), ("sqlite_autoindex_", ""), ("USING ", ""))
    for long, short in words:
        step = step.replace(long, short)
    return step


def main(arguments: Sequence[str]) -> None:
    configure_logging("error", human=False)
    with TemporaryDirectory() as home:
        table = rendered(hot_statements(Path(home)))
    if list(arguments) == ["--write"]:
        text = PERFORMANCE.read_text("utf-8")
        PERFORMANCE.write_text(BLOCK.sub(lambda block: block[1] + table + block[2], text), "utf-8")
    else:
        print(table, end="")  # noqa: T201 -- for whoever asked


if __name__ == "__main__":
    main(sys.argv[1:])
