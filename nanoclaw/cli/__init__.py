"""The command line."""

from nanoclaw.cli.main import main

__all__ = ["main"]
