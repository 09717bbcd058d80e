import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
import trio

from nanoclaw.logs import configure_logging, keeping_events
from nanoclaw.logs import ring as log_ring
from nanoclaw.logs.ring import LogRing


def add(ring: LogRing, *events: str, **fields: object) -> None:
    for event in events:
        ring.add(None, "info", {"event": event, **fields})


def events(ring: LogRing, n: int = 100, session: str | None = None) -> list[str]:
    return [json.loads(line.text)["event"] for line in ring.latest(n, session)]


def test_the_latest_events_are_returned_oldest_first() -> None:
    ring = LogRing()
    add(ring, "a", "b", "c")
    assert events(ring, 2) == ["b", "c"]
    assert events(ring, 0) == []


def test_a_session_is_selected_by_id_prefix_even_if_it_is_the_actor() -> None:
    ring = LogRing()
    add(ring, "mine", session="sess-abc")
    add(ring, "crash", actor="sess-abc")
    add(ring, "other", session="sess-b", actor="sess-abc")
    add(ring, "host")
    assert events(ring, session="sess-a") == ["mine", "crash"]


def test_the_ring_is_bounded_in_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_ring, "MAX_EVENTS", 3)
    ring = LogRing()
    add(ring, *"abcde")
    assert events(ring) == list("cde")
    monkeypatch.setattr(log_ring, "MAX_SIZE", 2000)
    add(ring, "large", text="x" * 1500)
    assert events(ring) == ["d", "e", "large"]
    add(ring, "larger", text="x" * 1900)
    assert events(ring) == ["larger"]


def test_an_event_that_is_too_large_is_truncated_and_stays_valid_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_ring, "MAX_EVENT_SIZE", 1000)
    ring = LogRing()
    add(ring, "large", text='"' * 5000, session="sess-a")
    [line] = ring.latest(1, None)
    assert len(line.text) < 2000
    assert json.loads(line.text)["session"] == "sess-a"


def test_any_log_event_can_be_kept() -> None:
    ring = LogRing()
    itself: list[object] = []
    itself.append(itself)
    add(ring, "odd", itself=itself, number={1, 2}, surrogate="\ud800", line="a\nb")
    try:
        raise ValueError("inside")  # noqa: TRY301 -- its traceback is what is logged
    except ValueError as error:
        add(ring, "raised", exc_info=error)
    assert [line.text.count("\n") for line in ring.latest(2, None)] == [0, 0]
    assert "ValueError: inside" in json.loads(ring.latest(1, None)[0].text)["exception"]


def test_events_after_a_number_are_returned_with_the_count_of_lost_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_ring, "MAX_EVENTS", 3)
    ring = LogRing()
    add(ring, "a", "b")
    lines, number, lost = ring.after(1, None, 10)
    assert ([line.number for line in lines], number, lost) == ([2], 2, 0)
    add(ring, *"cdefg")
    lines, number, lost = ring.after(2, None, 2)
    assert ([line.number for line in lines], number, lost) == ([5, 6], 6, 2)
    lines, number, lost = ring.after(6, "sess", 2)
    assert (list(lines), number, lost) == ([], 7, 0)


async def test_a_waiting_reader_is_woken_even_from_another_thread() -> None:
    ring = LogRing()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ring.wait_after, 0)
            await trio.testing.wait_all_tasks_blocked()
            thread = threading.Thread(target=add, args=(ring, "from afar"))
            thread.start()
        thread.join()
        await ring.wait_after(0)


def test_the_ring_keeps_events_that_the_terminal_does_not_show(capsys: pytest.CaptureFixture[str]) -> None:
    ring = LogRing()
    before = structlog.get_config()
    try:
        configure_logging("warning", human=False, ring=ring)
        log = structlog.get_logger()
        log.debug("nothing")
        log.info("quiet")
        log.warning("loud")
    finally:
        structlog.configure(**before)
    assert events(ring) == ["quiet", "loud"]
    [shown] = capsys.readouterr().err.splitlines()
    assert json.loads(shown)["event"] == "loud"


# -- the ring of an embedded host ------------------------------------------------


@contextmanager
def configured(*processors: structlog.typing.Processor) -> Iterator[list[structlog.typing.Processor]]:
    """A program that configures structlog itself."""
    before, own = structlog.get_config(), list(processors)
    structlog.configure(processors=own, wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield own
    finally:
        structlog.configure(**before)


def test_events_are_kept_while_the_host_runs_and_are_shown_as_before() -> None:
    shown = structlog.testing.LogCapture()
    with configured(shown) as processors:
        with keeping_events() as ring:
            structlog.get_logger().warning("during", session="sess-a")
        structlog.get_logger().warning("after")
        assert processors == [shown]
    assert ring is not None
    [line] = ring.latest(10, "sess-a")
    kept = json.loads(line.text)
    assert {**kept, "timestamp": ""} == {
        "event": "during",
        "session": "sess-a",
        "level": "warning",
        "timestamp": "",
    }
    assert shown.entries == [
        {"event": "during", "session": "sess-a", "log_level": "warning"},
        {"event": "after", "log_level": "warning"},
    ]


def test_the_ring_of_the_configuration_is_found() -> None:
    own = LogRing()
    with configured(own.add, structlog.testing.LogCapture()), keeping_events() as ring:
        assert ring is own


def test_two_hosts_keep_events_apart_and_end_in_any_order() -> None:
    with configured(structlog.testing.LogCapture()) as processors:
        first, second = keeping_events(), keeping_events()
        one, two = first.__enter__(), second.__enter__()
        first.__exit__(None, None, None)
        structlog.get_logger().info("late")
        second.__exit__(None, None, None)
        assert len(processors) == 1
    assert one is not None
    assert two is not None
    assert (events(one), events(two)) == ([], ["late"])


def test_a_program_that_configures_structlog_meanwhile_is_left_alone() -> None:
    with configured(structlog.testing.LogCapture()):
        with keeping_events():
            structlog.get_config()["processors"].clear()
        assert structlog.get_config()["processors"] == []


def test_events_are_not_kept_where_the_processors_cannot_be_extended() -> None:
    before = structlog.get_config()
    structlog.configure(processors=(structlog.testing.LogCapture(),))
    try:
        with keeping_events() as ring:
            assert ring is None
    finally:
        structlog.configure(**before)
