"""The command line."""

from collections.abc import Sequence

INTERRUPTED = 130
"""Exit code: Ctrl-C before the host runs; once it runs, that is an orderly stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default that of `sys.argv`; returns the exit code."""
    try:
        from nanoclaw.cli.command import run_command  # noqa: PLC0415 -- Ctrl-C may come while it is imported

        return run_command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
