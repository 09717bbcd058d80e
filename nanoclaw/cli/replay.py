"""Runs a recording again and reports differences (`nanoclaw replay`)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from nanoclaw.cli.output import write
from nanoclaw.cli.replay_command import ReplayOptions
from nanoclaw.config import ConfigError
from nanoclaw.logs import configure_logging
from nanoclaw.testing.replay import Replayed, as_json, replay
from nanoclaw.testing.silent_logs import silent_logs

DIFFERS = 1
"""Exit code."""


def run_replay(options: ReplayOptions) -> int:
    """Replay and report; return the exit code. Raises BadRecording, ConfigError."""
    with _logging(options.log_level):
        replayed = replay(options.folder, until=options.until)
    if options.timeline is not None:
        _write(options.timeline, "".join(f"{line}\n" for line in replayed.timeline))
    lines = _report(replayed, timeline=options.timeline is None)
    write(as_json(replayed) if options.json else "\n".join(lines))
    return DIFFERS if replayed.differences else 0


def _logging(level: str | None) -> AbstractContextManager[None]:
    if level is None:
        return silent_logs()
    configure_logging(level)
    return nullcontext()


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--timeline: {file} cannot be written: {error.strerror}") from error


def _report(replayed: Replayed, *, timeline: bool) -> Iterator[str]:
    if timeline:
        yield from replayed.timeline
        yield ""
    if replayed.torn:
        yield "The recording has no end: its host was killed, or the replay ends before."
    if replayed.differences:
        yield f"The replay differs from the recording, {len(replayed.differences)} times:"
        yield from (f"  {difference}" for difference in replayed.differences)
    else:
        yield "The replay does what the recording did."
