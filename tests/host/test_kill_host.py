"""The host's process is killed before and after commits of a round: nothing is lost or doubled.

A user says one of everything: a message, one that sends in the middle of its turn, a task for once and one
that recurs. `make soak ARGS=--every-commit` kills at each commit, of the runner as well; this is a sample.
"""

from pathlib import Path
from random import Random

import pytest
import trio

from nanoclaw.channels.protocol import Repeat
from tests.soak import round as rounds
from tests.soak.places import Places
from tests.soak.plan import HostKill, Plan, one_of_each
from tests.soak.verdict import Verdict, judge

pytestmark = pytest.mark.slow

AT_ONCE = 3


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rounds.preload()
    home = tmp_path_factory.mktemp("template") / "home"
    rounds.make_template(home)
    return home


async def lived(template: Path, folder: Path, plan: Plan) -> tuple[int, Verdict]:
    """The number of commits of the last host, and the result of the round."""
    places = Places(folder)
    await rounds.run_round(template, places, plan)
    [last] = places.kills.read("lived")
    return last["commits"], judge(places, plan)


@pytest.mark.parametrize(("repeat", "points"), [("again", 5), ("idempotent", 3)])
async def test_a_kill_at_any_commit_loses_nothing_and_does_nothing_twice(
    template: Path, tmp_path: Path, repeat: Repeat, points: int
) -> None:
    commits, verdict = await lived(template, tmp_path / "dry", one_of_each(repeat))
    assert verdict.violations == ()
    limit, found = trio.CapacityLimiter(AT_ONCE), dict[str, Verdict]()

    async def one(kill: HostKill) -> None:
        async with limit:
            name = f"{kill.how}-{kill.n:.0f}"
            _, found[name] = await lived(template, tmp_path / name, one_of_each(repeat, kill))

    async with trio.open_nursery() as nursery:
        for n in Random(points).sample(range(1, commits + 1), points):
            nursery.start_soon(one, HostKill("before", n))
            nursery.start_soon(one, HostKill("after", n))
    assert {name: verdict.violations for name, verdict in found.items() if verdict.violations} == {}
    assert sum(verdict.counts["kills of hosts"] for verdict in found.values()) > points
    assert {verdict.counts["messages answered"] for verdict in found.values()} == {4}
