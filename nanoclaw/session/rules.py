"""The settings that a session's decisions depend on: fixed while the session lives."""

from collections.abc import Callable

from attrs import frozen

from nanoclaw.channels.protocol import Repeat
from nanoclaw.config import Config
from nanoclaw.records import Address


@frozen
class Rules:
    """Times are in seconds."""

    retry_base_s: float
    max_tries: int
    idle_s: float
    """A runner without work is stopped after this."""
    slow_poll_s: float
    runner_backoff_s: float
    """The delay of a start after one failure; it doubles with each further one."""
    delivery_backoff_s: tuple[float, ...]
    """The delays between the attempts of a delivery; there is one attempt more."""
    zone: str
    """The user's time zone."""
    chat: Address | None
    """The session's own chat, where it has one."""
    repeat: Callable[[str], Repeat]
    """Returns the policy of a channel for attempts of unknown outcome; it never changes."""
    host_actions: frozenset[str] = frozenset()
    """Names of the requests that the host performs."""

    @classmethod
    def of(
        cls,
        config: Config,
        chat: Address | None,
        repeat: Callable[[str], Repeat],
        host_actions: frozenset[str] = frozenset(),
    ) -> "Rules":
        """Take them from the host's configuration."""
        return cls(
            retry_base_s=config.retry.base_s,
            max_tries=config.retry.max_tries,
            idle_s=config.runtime.idle_s,
            slow_poll_s=config.runtime.slow_poll_s,
            runner_backoff_s=config.runtime.backoff_s,
            delivery_backoff_s=tuple(config.delivery.backoff_s),
            zone=config.timezone,
            chat=chat,
            repeat=repeat,
            host_actions=host_actions,
        )
