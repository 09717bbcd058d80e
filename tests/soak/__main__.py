"""`make soak ROUNDS=n [SEED=s]`: real processes, killed at random moments; then all is as was promised.

A round is a home with three conversations, a host that is killed and started again, runners that are killed,
and a chat network that is a process of its own. Exit code 1: something was not as promised; the round's seed
and its folder are printed, and the folder is kept.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Repeat
from tests.soak import round as rounds
from tests.soak.places import Places
from tests.soak.plan import HostKill, How, Plan, one_of_each, plan
from tests.soak.verdict import Verdict, judge

REPEATS: tuple[Repeat, ...] = ("idempotent", "again", "look up", "again")
HOST_HOWS: tuple[How, ...] = ("before", "after", "hot", "asking", "asked")


def main() -> int:
    options = _options()
    seed = Random().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: {options.rounds} rounds, {options.at_once} at once", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    started = monotonic()
    rounds.preload()
    rounds.make_template(folder / "template")
    soak = Soak(folder, trio.CapacityLimiter(options.at_once))
    trio.run(soak.every_commit if options.every_commit else partial(soak.random, seed, options.rounds))
    _table(soak.total, seed, monotonic() - started)
    if soak.total.violations:
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--seed", type=int, help="of the first round; each further one has the next (default: any)"
    )
    parser.add_argument("--at-once", type=int, default=3, help="rounds that run at the same time")
    parser.add_argument(
        "--every-commit",
        action="store_true",
        help="instead: one message of each kind, and a kill at each commit of the host and of the runner",
    )
    return parser.parse_args()


@define(eq=False)
class Soak:
    """The rounds of one command."""

    folder: Path
    limit: trio.CapacityLimiter
    total: Verdict = Factory(lambda: Verdict({}))

    async def random(self, seed: int, rounds: int) -> None:
        """Run rounds with consecutive seeds."""
        async with trio.open_nursery() as nursery:
            for number in range(seed, seed + rounds):
                nursery.start_soon(
                    self._round, str(number), plan(number, REPEATS[number % len(REPEATS)]), rounds
                )

    async def every_commit(self) -> None:
        """Run rounds with a kill at each commit in turn, until a round has no such commit."""
        async with trio.open_nursery() as nursery:
            for repeat in set(REPEATS):
                for how in HOST_HOWS:
                    nursery.start_soon(self._each, f"host {how} {repeat}", partial(_host_at, repeat, how))
                for how in ("before", "after", "hot"):
                    nursery.start_soon(self._each, f"runner {how} {repeat}", partial(_runner_at, repeat, how))

    async def _each(self, name: str, plan_at: Callable[[int], Plan]) -> None:
        for n in count(1):
            verdict = await self._round(f"{name} {n}", plan_at(n), None)
            if not (verdict.counts.get("kills of hosts") or verdict.counts.get("kills of runners")):
                break

    async def _round(self, name: str, round_plan: Plan, of: int | None) -> Verdict:
        places = Places(self.folder / name.replace(" ", "-"))
        async with self.limit:
            verdict = await _judged(self.folder / "template", places, round_plan)
        self.total += verdict
        if verdict.violations:
            print(f"\n{name} ({round_plan.repeat}), kept in {places.folder}:")
            print("\n".join(f"  {one}" for one in verdict.violations), flush=True)
        else:
            shutil.rmtree(places.folder)
        _progress(self.total, of)
        return verdict


def _host_at(repeat: Repeat, how: How, n: int) -> Plan:
    return one_of_each(repeat, host_kill=HostKill(how, n))


def _runner_at(repeat: Repeat, how: str, n: int) -> Plan:
    return one_of_each(repeat, runner_commit=f"{how}:{n}")


async def _judged(template: Path, places: Places, round_plan: Plan) -> Verdict:
    try:
        await rounds.run_round(template, places, round_plan)
        return await trio.to_thread.run_sync(judge, places, round_plan)
    except rounds.RoundFailed as error:
        return Verdict({"rounds": 1}, (str(error),))


def _progress(total: Verdict, of: int | None) -> None:
    done, answered = total.counts["rounds"], total.counts.get("messages answered", 0)
    if sys.stdout.isatty() or done % 25 == 0 or done == of:
        end = "\n" if done == of or not sys.stdout.isatty() else "\r"
        rounds_done = f"{done}/{of}" if of else f"{done}"
        print(
            f"{rounds_done} rounds, {answered} messages, {len(total.violations)} violations",
            end=end,
            flush=True,
        )


def _table(total: Verdict, seed: int, seconds: float) -> None:
    rows = [
        *total.counts.items(),
        ("violations", len(total.violations)),
        ("seed", seed),
        ("seconds", round(seconds)),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value:>8,}" if name != "seed" else f"{name:<{width}}  {value:>8}")


if __name__ == "__main__":
    sys.exit(main())
