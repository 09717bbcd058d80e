"""What can go wrong, named for the condition. The messages are for the people who run the container."""

from datetime import datetime

from attrs import frozen


class RunnerError(Exception):
    """The runner cannot go on; `main` prints the message and exits."""


class ConfigError(RunnerError):
    """The environment does not describe a session."""


class OwnerError(RunnerError):
    """Another runner holds this session."""


class RecoverError(RunnerError):
    """outbound.db cannot be made good."""


class NewerDatabaseError(RunnerError):
    """outbound.db was written by a newer runner than this one."""


class DatabaseError(RunnerError):
    """SQLite could not do what was asked: a full disk, a damaged file."""


class StoreBusyError(RunnerError):
    """Somebody held a database for longer than a transaction may wait (contract 2)."""


class InboundUnavailableError(RunnerError):
    """inbound.db cannot be read just now: its host is gone, in mid-commit perhaps. It passes."""


class ToolError(Exception):
    """A tool call did not happen; the message is for the agent."""


@frozen(str=False)
class ProviderError(Exception):
    """A provider could not take its turn. No answer to a user: the messages are released for later.

    `retry_at` is aware; without it the runner's default applies.
    """

    reason: str
    retry_at: datetime | None = None

    def __str__(self) -> str:
        """The reason alone."""
        return self.reason
