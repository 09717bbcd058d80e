"""For all tests: logs as in production, but only what went wrong."""

import signal

from nanoclaw.logs import configure_logging

configure_logging("error", human=False)

pytest_plugins = ["nanoclaw.testing.pytest"]

# A shell's background job is deaf to SIGINT, and so would be the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
