"""The excerpt of a timeline around a violation."""

from collections import Counter

from attrs import evolve

from nanoclaw.simulation.excerpt import BEFORE, excerpt
from nanoclaw.simulation.run import RunResult, Violation, run_workload
from nanoclaw.simulation.workload import draw_workload
from nanoclaw.testing.silent_logs import silent_logs

DAY = draw_workload(6, hours=0.4)


def broken(sentence_of: str) -> tuple[RunResult, str, str]:
    """Return a day whose last line is a violation that names a session and its first message."""
    with silent_logs():
        result = run_workload(DAY)
    session = Counter(id_ for line in result.timeline.lines for id_ in result.sessions if id_ in line)
    [(id_, _)] = session.most_common(1)
    row, event = next(iter(result.events.items()))
    sentence = sentence_of.format(session=id_, row=row)
    at = result.timeline.lines[-1].split()[0]
    result.timeline.lines.append(f"{at:>14}  violation  some_rule  {sentence}")
    return evolve(result, violations=(Violation("some_rule", sentence, float(at)),)), id_, event


def test_the_excerpt_shows_only_commits_of_the_named_session_and_merges_consecutive_ones() -> None:
    result, session, _ = broken("{session}: something is wrong")
    heading, *lines = excerpt(DAY, result)
    assert session in heading
    assert result.sessions[session] in heading
    commits = [line for line in lines if "  commit" in line]
    assert commits
    assert all(session in line for line in commits)
    assert any("  commits  " in line for line in commits)
    assert lines[-1].endswith(f"violation  some_rule  {session}: something is wrong")
    assert len(lines) <= BEFORE + 2


def test_a_named_message_is_marked_however_old_it_is() -> None:
    result, _, event = broken("{row} is lost")
    lines = list(excerpt(DAY, result))
    marked = [line for line in lines if line.startswith(">")]
    assert any(f"  {event}  " in line and "  said  " in line for line in marked)
    assert "  ..." in lines
