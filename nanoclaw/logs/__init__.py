"""Logs: how events are written, and the latest of them in memory."""

from nanoclaw.logs.output import LogConfig, add_actor, configure_logging, keeping_events
from nanoclaw.logs.ring import LogRing

__all__ = ["LogConfig", "LogRing", "add_actor", "configure_logging", "keeping_events"]
