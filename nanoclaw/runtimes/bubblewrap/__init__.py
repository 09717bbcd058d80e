"""The runtime `bubblewrap`: sandboxes without a daemon, an image or root."""

from nanoclaw.runtimes.bubblewrap.runtime import BUBBLEWRAP, BubblewrapConfig, BubblewrapRuntime

__all__ = ["BUBBLEWRAP", "BubblewrapConfig", "BubblewrapRuntime"]
