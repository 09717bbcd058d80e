"""`nanoclaw replay`: runs a recording again and says what is different."""

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from nanoclaw.config import ConfigError
from nanoclaw.logs import configure_logging
from nanoclaw.testing.campaign import quiet
from nanoclaw.testing.replay import Replayed, as_json, replay

DIFFERS = 1
"""Exit code."""


def run_replay(options: argparse.Namespace) -> int:
    """Replay and report; the exit code. Raises BadRecording, ConfigError."""
    with _logging(options.log_level):
        replayed = replay(options.folder, until=options.until)
    if options.timeline is not None:
        _write(options.timeline, "".join(f"{line}\n" for line in replayed.timeline))
    try:
        if options.json:
            print(as_json(replayed))
        else:
            _report(replayed, timeline=options.timeline is None)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DIFFERS if replayed.differences else 0


def _logging(level: str | None) -> AbstractContextManager[None]:
    if level is None:
        return quiet()
    configure_logging(level)
    return nullcontext()


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--timeline: {file} cannot be written: {error.strerror}") from error


def _report(replayed: Replayed, *, timeline: bool) -> None:
    if timeline:
        print("\n".join(replayed.timeline), end="\n\n")
    if replayed.torn:
        print("The recording has no end: its host was killed, or the replay ends before.")
    if replayed.differences:
        print(f"The replay differs from the recording, {len(replayed.differences)} times:")
        print("\n".join(f"  {difference}" for difference in replayed.differences))
    else:
        print("The replay does what the recording did.")
