"""`nanoclaw simulate`: plays households, sums up, and shows what broke."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from nanoclaw.cli.simulate_options import SEEDS
from nanoclaw.config import ConfigError
from nanoclaw.testing.campaign import Plan, Sum, cores, quiet, sums
from nanoclaw.testing.faults import UnknownFault, fault_names
from nanoclaw.testing.household import Household
from nanoclaw.testing.lanes import page
from nanoclaw.testing.play import Outcome, play
from nanoclaw.testing.shrink import shortest

VIOLATED = 1
"""Exit code."""
BEFORE, AFTER = 30, 5
"""Lines of the timeline that are shown around a violation."""
LISTED = 10
HOUR_S, DAY_S = 3600, 86_400


def simulate(options: argparse.Namespace) -> int:
    """Play and report; the exit code. Raises ConfigError."""
    plan, jobs = _plan(options), options.jobs or cores()
    if options.timeline is not None:
        return _draw(plan, options.timeline, as_json=options.json)
    total = _progress(plan, jobs)
    broken = _shortest(plan, total)
    if options.json:
        print(json.dumps(_as_json(plan, total, broken), indent=2))
    else:
        print("\n".join([*_table(plan, total), *_broken(plan, total, broken)]))
    return VIOLATED if total.violations else 0


def _plan(options: argparse.Namespace) -> Plan:
    try:
        faults = fault_names(options.faults)
    except UnknownFault as error:
        raise ConfigError(f"--faults: {error}") from error
    first = options.seed or 0
    seeds = options.seeds or (1 if options.seed is not None else SEEDS)
    if options.timeline is not None and seeds != 1:
        raise ConfigError("--timeline draws one household: name it with --seed, without --seeds")
    return Plan(tuple(range(first, first + seeds)), options.days * 24, faults, options.sessions)


def _progress(plan: Plan, jobs: int) -> Sum:
    """Play all, and say on stderr how far that is."""
    total, shown, on_terminal = Sum(), -1, sys.stderr is not None and sys.stderr.isatty()
    for total in sums(plan, jobs):
        done = total.seeds if on_terminal else 10 * total.seeds // len(plan.seeds)
        if done != shown and len(plan.seeds) > 1:
            end = "" if on_terminal else "\n"
            line = f"{total.seeds} of {len(plan.seeds)} seeds, {len(total.violations)} violations"
            print(f"\r{line}" if on_terminal else line, end=end, file=sys.stderr, flush=True)
            shown = done
    if on_terminal and len(plan.seeds) > 1:
        print(file=sys.stderr)
    return total


# -- what broke ----------------------------------------------------------------


@frozen
class Broken:
    """The shortest day of one seed that still fails."""

    household: Household
    outcome: Outcome


def _shortest(plan: Plan, total: Sum) -> Broken | None:
    if not total.violations:
        return None
    household = plan.household(min(seed for seed, _ in total.violations))
    print(f"seed {household.seed}: looking for the shortest beginning that fails ...", file=sys.stderr)
    with quiet():
        outcome = shortest(household)
    return None if outcome is None else Broken(household.cut(outcome.steps), outcome)


def _broken(plan: Plan, total: Sum, broken: Broken | None) -> Iterator[str]:
    for seed, violation in total.violations[:LISTED]:
        yield f"seed {seed}: {violation}"
    if len(total.violations) > LISTED:
        yield f"and {len(total.violations) - LISTED} more"
    if broken is not None:
        steps = broken.household.steps
        yield ""
        seed = broken.outcome.seed
        yield f"The shortest beginning of seed {seed} that fails: {len(steps)} steps, the last of them"
        yield from (f"  {step.at:12.3f}  {step}" for step in steps[-5:])
        yield from (f"{violation}" for violation in broken.outcome.violations)
        yield ""
        yield "The timeline around it:"
        yield from _around(broken.outcome)
        yield ""
        yield f"To see all of it: {_command(plan, seed)}"
    elif total.violations:
        yield "It did not fail when it was played again: a bug of the simulation, which has to be the same."


def _around(outcome: Outcome) -> Sequence[str]:
    lines = outcome.timeline.lines
    at = next((n for n, line in enumerate(lines) if line.split()[1] == "violation"), len(lines))
    return lines[max(0, at - BEFORE) : at + AFTER]


def _command(plan: Plan, seed: int) -> str:
    faults = ",".join(plan.faults) or "none"
    return (
        f"nanoclaw simulate --seed {seed} --days {plan.hours / 24:g} --sessions {plan.sessions} "
        f"--faults {faults} --timeline seed-{seed}.html"
    )


# -- what came of all ----------------------------------------------------------


def _table(plan: Plan, total: Sum) -> Iterator[str]:
    rows = [
        ("seeds", f"{total.seeds:,}"),
        ("virtual time", _duration(total.virtual_s)),
        ("messages", f"{total.messages:,}"),
        ("deliveries", f"{total.deliveries:,}"),
        ("commits", f"{total.commits:,}"),
        ("host restarts", f"{total.restarts:,}"),
        ("faults", f"{total.strokes.total():,}"),
        *((f"  {name}", f"{total.strokes[name]:,}") for name in sorted(total.strokes)),
        ("violations", f"{len(total.violations):,}"),
    ]
    names, figures = (max(len(row[column]) for row in rows) for column in (0, 1))
    yield f"{plan.sessions} sessions over {plan.hours:g} h each"
    yield from (f"{name:<{names}}  {figure:>{figures}}" for name, figure in rows)


def _duration(seconds: float) -> str:
    days, rest = divmod(round(seconds), DAY_S)
    hours, rest = divmod(rest, HOUR_S)
    return f"{days} d {hours} h {rest // 60} min"


def _as_json(plan: Plan, total: Sum, broken: Broken | None) -> dict[str, Any]:
    return {
        "seeds": list(plan.seeds),
        "hours": plan.hours,
        "sessions": plan.sessions,
        "virtual_s": total.virtual_s,
        "messages": total.messages,
        "deliveries": total.deliveries,
        "commits": total.commits,
        "restarts": total.restarts,
        "faults": dict(sorted(total.strokes.items())),
        "violations": [{"seed": seed, **asdict(violation)} for seed, violation in total.violations],
        "shortest": None
        if broken is None
        else {
            "seed": broken.outcome.seed,
            "steps": len(broken.household.steps),
            "violations": [asdict(violation) for violation in broken.outcome.violations],
            "timeline": list(_around(broken.outcome)),
        },
    }


# -- one of them, drawn --------------------------------------------------------


def _draw(plan: Plan, file: Path, *, as_json: bool) -> int:
    household = plan.household(plan.seeds[0])
    with quiet():
        outcome = play(household)
    try:
        file.write_text(page(household, outcome), "utf-8")
    except OSError as error:
        raise ConfigError(f"--timeline: {file} cannot be written: {error.strerror or error}") from error
    total = Sum().and_one(outcome)
    if as_json:
        print(json.dumps(_as_json(plan, total, None), indent=2))
    else:
        print("\n".join([*_table(plan, total), *_broken_once(outcome), f"drawn in {file}"]))
    return VIOLATED if outcome.violations else 0


def _broken_once(outcome: Outcome) -> Iterator[str]:
    yield from map(str, outcome.violations)
    if outcome.violations:
        yield from _around(outcome)
