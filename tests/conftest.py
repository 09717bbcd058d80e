"""For all tests: logs as in production, but only what went wrong."""

from nanoclaw.logs import configure_logging

configure_logging("error", human=False)

pytest_plugins = ["nanoclaw.testing.pytest"]
