"""`make soak ROUNDS=n [SEED=s]`: real processes, killed at random moments; then all is as was promised.

A round is a home with three conversations, a host that is killed and started again, runners that are killed,
and a chat network that is a process of its own. Exit code 1: something was not as promised; the round's seed
and its folder are printed, and the folder is kept.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random
from time import monotonic

import trio

from nanoclaw.channels.protocol import Repeat
from tests.soak import round as rounds
from tests.soak.places import Places
from tests.soak.plan import Plan, plan
from tests.soak.verdict import Verdict, judge

REPEATS: tuple[Repeat, ...] = ("idempotent", "again")


def main() -> int:
    options = _options()
    seed = Random().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: {options.rounds} rounds, {options.at_once} at once", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    started = monotonic()
    rounds.preload()
    rounds.make_template(folder / "template")
    total = trio.run(_soak, folder, seed, options.rounds, options.at_once)
    _table(total, seed, monotonic() - started)
    if total.violations:
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--seed", type=int, help="of the first round; each further one has the next (default: any)"
    )
    parser.add_argument("--at-once", type=int, default=2, help="rounds that run at the same time")
    return parser.parse_args()


async def _soak(folder: Path, seed: int, count: int, at_once: int) -> Verdict:
    total, limit = [Verdict({})], trio.CapacityLimiter(at_once)

    async def one(number: int) -> None:
        async with limit:
            verdict = await _round(folder, plan(seed + number, REPEATS[(seed + number) % 2]))
        total[0] += verdict
        _progress(total[0], count)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return total[0]


async def _round(folder: Path, round_plan: Plan) -> Verdict:
    places = Places(folder / str(round_plan.seed))
    places.folder.mkdir()
    try:
        await rounds.run_round(folder / "template", places, round_plan)
        verdict = await trio.to_thread.run_sync(judge, places, round_plan)
    except rounds.RoundFailed as error:
        verdict = Verdict({"rounds": 1}, (str(error),))
    if not verdict.violations:
        shutil.rmtree(places.folder)
        return verdict
    print(f"\nseed {round_plan.seed} ({round_plan.repeat}), kept in {places.folder}:")
    print("\n".join(f"  {one}" for one in verdict.violations), flush=True)
    return verdict


def _progress(total: Verdict, count: int) -> None:
    done, answered = total.counts["rounds"], total.counts.get("messages answered", 0)
    end = "\n" if done == count or not sys.stdout.isatty() else "\r"
    if sys.stdout.isatty() or done % 25 == 0 or done == count:
        print(
            f"{done}/{count} rounds, {answered} messages, {len(total.violations)} violations",
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
