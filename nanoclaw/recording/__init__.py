"""Recording: a host notes the input at its seams, so that `nanoclaw replay` can run it again."""

from nanoclaw.recording.lines import BadRecording, Recording, Taken, read
from nanoclaw.recording.recorder import Record, Recorder, RecordingRefused

__all__ = ["BadRecording", "Record", "Recorder", "Recording", "RecordingRefused", "Taken", "read"]
