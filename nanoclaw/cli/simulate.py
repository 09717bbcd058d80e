"""Plays workloads, sums up the results, and shows failures (`nanoclaw simulate`)."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

from attrs import asdict, frozen

from nanoclaw.cli.output import write, write_aside
from nanoclaw.cli.simulate_options import SEEDS, SimulateOptions
from nanoclaw.config import ConfigError
from nanoclaw.simulation.campaign import CampaignPlan, SeedRun, Totals, cores, processes, results, totals
from nanoclaw.simulation.excerpt import excerpt
from nanoclaw.simulation.faults import ALL, NAMES, NONE, UnknownFault, fault_names, parse_fault
from nanoclaw.simulation.run import RunResult
from nanoclaw.simulation.shrink import bisected
from nanoclaw.simulation.timeline_page import page
from nanoclaw.simulation.worker_processes import KILLED_OUTSIDE, Interrupted, Stop, Workers, stopping
from nanoclaw.simulation.workload import Workload

VIOLATED = 1
"""Exit code."""
KILLED = 128
"""Base of the exit code after a signal: the signal's number is added."""
LISTED = 10
HOUR_S, DAY_S = 3600, 86_400


def simulate(options: SimulateOptions) -> int:
    """Run the campaign and report; return the exit code. Raises ConfigError."""
    plan, jobs = _plan(options), options.jobs or cores()
    with stopping() as stop, processes(min(jobs, len(plan.seeds)), stop) as workers:
        if options.timeline is not None:
            return _draw(plan, workers, options.timeline, as_json=options.json)
        return _campaign(plan, workers, as_json=options.json)


def _campaign(plan: CampaignPlan, workers: Workers, *, as_json: bool) -> int:
    total, stopped = _progress(plan, workers)
    broken: Broken | None = None
    if stopped is None:
        try:
            broken = _shortest(plan, workers, total)
        except Interrupted as error:
            stopped = error.by
    if as_json:
        text = json.dumps(_as_json(plan, total, broken, stopped), indent=2)
    elif stopped is None:
        text = "\n".join([*_table(plan, total), *_broken(plan, total, broken)])
    else:
        text = "\n".join(_violated(total))
    return _ended(plan, workers.stop, total, text, stopped)


def _ended(plan: CampaignPlan, stop: Stop, total: Totals, text: str, stopped: Signals | None = None) -> int:
    """Show the result; return the exit code."""
    try:
        if text:
            stop.aside(partial(write, text))
    except Interrupted as error:
        stopped = error.by
    if stopped is not None:
        return _stopped(plan, stop, total, stopped)
    return VIOLATED if total.violations else 0


def _stopped(plan: CampaignPlan, stop: Stop, total: Totals, by: Signals) -> int:
    """Print the progress so far. Return the exit code of a process that a signal ended."""
    played = f"{total.seeds} of {len(plan.seeds)} seeds played, {len(total.violations)} violations"
    with suppress(Interrupted):
        stop.aside(partial(write_aside, f"nanoclaw: stopped by {by.name}: {played}"))
    return KILLED + by


def _plan(options: SimulateOptions) -> CampaignPlan:
    try:
        faults = fault_names(options.faults)
        _require_within(faults, options.days * DAY_S)
    except UnknownFault as error:
        raise ConfigError(f"--faults: {error}") from error
    first = options.seed or 0
    seeds = options.seeds or (1 if options.seed is not None else SEEDS)
    if options.timeline is not None and seeds != 1:
        raise ConfigError("--timeline draws one workload: name it with --seed, without --seeds")
    return CampaignPlan(tuple(range(first, first + seeds)), options.days, faults, options.sessions)


def _require_within(faults: Sequence[str], day_s: float) -> None:
    for name in faults:
        point = parse_fault(name).point
        if point is not None and point.kind == "time" and point.number > day_s:
            raise UnknownFault(f"{name}: the day ends at {day_s:g} s")


def _progress(plan: CampaignPlan, workers: Workers) -> tuple[Totals, Signals | None]:
    """Run all, with progress on stderr. Return the results, and the signal that ended the run early."""
    total, shown, on_terminal = Totals(), -1, sys.stderr is not None and sys.stderr.isatty()
    stopped: Signals | None = None
    try:
        for total in totals(plan, workers):
            done = total.seeds if on_terminal else 10 * total.seeds // len(plan.seeds)
            if done != shown and len(plan.seeds) > 1:
                end = "" if on_terminal else "\n"
                line = f"{total.seeds} of {len(plan.seeds)} seeds, {len(total.violations)} violations"
                workers.stop.aside(partial(write_aside, f"\r{line}" if on_terminal else line, end))
                shown = done
    except Interrupted as error:
        stopped = error.by
    if on_terminal and shown >= 0:
        with suppress(Interrupted):
            workers.stop.aside(partial(write_aside, ""))
    return total, stopped


# -- failures --------------------------------------------------------------------


@frozen
class Broken:
    """The shortest day of one seed that still fails."""

    workload: Workload
    result: RunResult


def _shortest(plan: CampaignPlan, workers: Workers, total: Totals) -> Broken | None:
    if not total.violations:
        return None
    workload = plan.workload(min(seed for seed, _ in total.violations))
    looking = f"seed {workload.seed}: looking for the shortest beginning that fails ..."
    workers.stop.aside(partial(write_aside, looking))

    def played(steps: int) -> RunResult:
        return next(results(workers, [SeedRun(plan, workload.seed, steps, drawn=True)]))

    result = bisected(len(workload.steps), played)
    return None if result is None else Broken(workload.cut(result.steps), result)


def _violated(total: Totals) -> Iterator[str]:
    for seed, violation in total.violations[:LISTED]:
        yield f"seed {seed}: {violation}"
    if len(total.violations) > LISTED:
        yield f"and {len(total.violations) - LISTED} more"


def _broken(plan: CampaignPlan, total: Totals, broken: Broken | None) -> Iterator[str]:
    yield from _violated(total)
    if broken is not None:
        steps = broken.workload.steps
        yield ""
        seed = broken.result.seed
        yield f"The shortest beginning of seed {seed} that fails: {len(steps)} steps, the last of them"
        yield from (f"  {step.at:12.3f}  {step}" for step in steps[-5:])
        yield from (f"{violation}" for violation in broken.result.violations)
        if others := broken.result.others:
            yield f"Cut differently, the day breaks {', '.join(others)} instead"
        yield ""
        yield from excerpt(broken.workload, broken.result)
        yield ""
        yield f"To see all of it: {_command(plan, seed)}"
    elif total.violations:
        yield f"It did not fail when it was played again: {_why_once(total)}."


def _why_once(total: Totals) -> str:
    first, violation = min(total.violations, key=lambda each: each[0])
    if violation.sentence == KILLED_OUTSIDE:
        return f"nothing is wrong with seed {first}. If memory ran out, say fewer --jobs"
    return "a bug of the simulation, which has to be the same"


def _command(plan: CampaignPlan, seed: int) -> str:
    faults = ALL if plan.faults == NAMES else ",".join(plan.faults) or NONE
    return (
        f"nanoclaw simulate --seed {seed} --days {plan.days!r} --sessions {plan.sessions} "
        f"--faults {shlex.quote(faults)} --timeline seed-{seed}.html"
    )


# -- summary -------------------------------------------------------------------


def _table(plan: CampaignPlan, total: Totals) -> Iterator[str]:
    rows = [
        ("seeds", f"{total.seeds:,}"),
        ("virtual time", _duration(total.virtual_s)),
        ("messages", f"{total.messages:,}"),
        ("deliveries", f"{total.deliveries:,}"),
        ("commits", f"{total.commits:,}"),
        ("host restarts", f"{total.restarts:,}"),
        ("faults", f"{total.strikes.total():,}"),
        *((f"  {name}", f"{total.strikes[name]:,}") for name in sorted(total.strikes)),
        ("violations", f"{len(total.violations):,}"),
    ]
    names, figures = (max(len(row[column]) for row in rows) for column in (0, 1))
    sessions = "1 session" if plan.sessions == 1 else f"{plan.sessions} sessions"
    yield f"{sessions} over {plan.hours:g} h each"
    yield from (f"{name:<{names}}  {figure:>{figures}}" for name, figure in rows)
    yield from _missed(total)


def _missed(total: Totals) -> Iterator[str]:
    """Yield faults that did not occur where they were planned."""
    for fault in dict.fromkeys(name for _, name, _ in total.missed):
        seeds = {seed: why for seed, name, why in total.missed if name == fault}
        seed = min(seeds)
        yield f"{fault} did not strike in {len(seeds)} of {total.seeds} seeds; seed {seed}: {seeds[seed]}"


def _duration(seconds: float) -> str:
    days, rest = divmod(round(seconds), DAY_S)
    hours, rest = divmod(rest, HOUR_S)
    return f"{days} d {hours} h {rest // 60} min"


def _as_json(
    plan: CampaignPlan, total: Totals, broken: Broken | None, stopped: Signals | None
) -> dict[str, Any]:
    return {
        "seeds": list(plan.seeds),
        "played": total.seeds,
        "stopped": stopped and stopped.name,
        "hours": plan.hours,
        "sessions": plan.sessions,
        "virtual_s": total.virtual_s,
        "messages": total.messages,
        "deliveries": total.deliveries,
        "commits": total.commits,
        "restarts": total.restarts,
        "faults": dict(sorted(total.strikes.items())),
        "missed": [{"seed": seed, "fault": fault, "why": why} for seed, fault, why in total.missed],
        "violations": [{"seed": seed, **asdict(violation)} for seed, violation in total.violations],
        "shortest": None
        if broken is None
        else {
            "seed": broken.result.seed,
            "steps": len(broken.workload.steps),
            "violations": [asdict(violation) for violation in broken.result.violations],
            "others": list(broken.result.others),
            "timeline": list(excerpt(broken.workload, broken.result)),
        },
    }


# -- the drawing of one run ------------------------------------------------------


def _require_writable(file: Path) -> None:
    """Check the file before a run of hours. Raises ConfigError."""
    if file.is_fifo():  # a reader would mistake that for the end
        return
    new = not file.exists()
    try:
        with file.open("ab"):
            pass
        if new:
            file.unlink()
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--timeline: {file} cannot be written: {error.strerror or error}")


def _draw(plan: CampaignPlan, workers: Workers, file: Path, *, as_json: bool) -> int:
    workload, total = plan.workload(plan.seeds[0]), Totals()
    try:
        _require_writable(file)
        [result] = results(workers, [SeedRun(plan, workload.seed, drawn=True)])
        total = total.and_one(result)
        workers.stop.aside(partial(_write, file, page(workload, result).encode()))
    except Interrupted as error:
        return _stopped(plan, workers.stop, total, error.by)
    if as_json:
        text = json.dumps(_as_json(plan, total, None, None), indent=2)
    else:
        text = "\n".join([*_table(plan, total), *_broken_once(workload, result), f"drawn in {file}"])
    return _ended(plan, workers.stop, total, text)


def _write(file: Path, content: bytes) -> None:
    """Write without a buffer: closing the file flushes a buffer even after an interruption."""
    try:
        with file.open("wb", buffering=0) as opened:
            while content:
                content = content[opened.write(content) :]
    except OSError as error:
        raise _unwritable(file, error) from error


def _broken_once(workload: Workload, result: RunResult) -> Iterator[str]:
    yield from map(str, result.violations)
    if result.violations:
        yield from excerpt(workload, result)
