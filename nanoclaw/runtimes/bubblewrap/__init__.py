"""The runtime `bubblewrap`: sandboxes without a daemon, an image or root."""

from nanoclaw.runtimes.bubblewrap.detect import why_not
from nanoclaw.runtimes.bubblewrap.limits import limits_in_force
from nanoclaw.runtimes.bubblewrap.runtime import BUBBLEWRAP, BubblewrapConfig, BubblewrapRuntime

__all__ = ["BUBBLEWRAP", "BubblewrapConfig", "BubblewrapRuntime", "limits_in_force", "why_not"]
