"""For all tests: logs as in production, but only what went wrong; files in memory; little garbage."""

import gc
import os
import signal

from nanoclaw.logs import configure_logging
from nanoclaw.testing.world.folders import IN_MEMORY

configure_logging("error", human=False)

# No test cuts the power, so none needs a disk: there, most of the tests' time would be waiting for fsync.
if os.access(IN_MEMORY, os.W_OK):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))

pytest_plugins = ["nanoclaw.testing.pytest", "tests.engine.fixtures"]

# A shell's background job is deaf to SIGINT, and so would be the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # what is imported and collected stays, so that each collection of garbage would be for nothing


def pytest_collection_finish() -> None:
    """Keep modules and tests out of the collections of garbage during tests."""
    gc.freeze()
    gc.enable()
