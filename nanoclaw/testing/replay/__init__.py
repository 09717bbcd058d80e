"""Replay: runs a host again on its recording, in virtual time, and compares."""

from nanoclaw.testing.replay.player import Replayed, as_json, replay

__all__ = ["Replayed", "as_json", "replay"]
