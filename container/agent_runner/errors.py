"""The errors of the runner, named for the condition. The texts are for administrators."""

from datetime import datetime

from attrs import frozen


class RunnerError(Exception):
    """The runner cannot continue. `main` logs the text and exits."""


class ConfigError(RunnerError):
    """The environment does not describe a session."""


class OwnerError(RunnerError):
    """Another runner holds this session."""


class RecoverError(RunnerError):
    """outbound.db cannot be recovered."""


class NewerDatabaseError(RunnerError):
    """outbound.db was written by a newer runner."""


class DatabaseError(RunnerError):
    """SQLite failed: a full disk, a damaged file."""


class DatabaseUnavailableError(DatabaseError):
    """The system cannot serve the file now: a full or failing disk, exhausted descriptors. Retry."""


class StoreBusyError(RunnerError):
    """A database stayed locked for longer than a transaction may wait (contract 2)."""


class InboundUnavailableError(RunnerError):
    """inbound.db cannot be read now. Its host may have died in a commit. Retry."""


@frozen(str=False)
class ProviderOpenError(RunnerError):
    """The provider could not be opened. The messages that were due are released until `retry_at`."""

    reason: str
    retry_at: datetime | None = None

    def __str__(self) -> str:
        """Return the reason alone."""
        return self.reason


class ProviderClosedError(RunnerError):
    """The provider ended while the runner still needed it, so the runner ends too."""


class ToolError(Exception):
    """A tool call failed. The message is for the agent."""


class NotesUnavailable(ToolError):
    """The notes cannot be used now. The message is for the agent."""


class ToolRegistrationError(ValueError):
    """A tool cannot be added or removed. The message names it and says why."""


class UnstorableError(ValueError):
    """A provider handed over data that outbound.db does not take. The message says why."""


@frozen(str=False)
class ProviderError(Exception):
    """A provider could not take its turn. Its messages are released and tried again; users are not told."""

    reason: str
    """The reason, for the log."""
    retry_at: datetime | None = None
    """The time of the next try, aware. None stands for the runner's default."""

    def __str__(self) -> str:
        """Return the reason alone."""
        return self.reason


@frozen(str=False)
class ProviderFatal(ProviderError):
    """A provider will never answer these messages. They are completed, and the user is told `for_user`, once.

    Example: the model's server refuses the key. Another try would cost time or money, and fail, too.
    """

    for_user: str = "I cannot answer now. Please tell my owner."
    """The text that the chat gets: what is wrong in plain words, and what the owner can do."""
