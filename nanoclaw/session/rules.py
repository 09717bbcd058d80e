"""The settings that a session's decisions depend on. They are fixed while the session lives."""

from collections.abc import Callable

from attrs import frozen

from nanoclaw.channels.protocol import Repeat
from nanoclaw.config import Config
from nanoclaw.records import Address


@frozen
class Rules:
    """The settings of one session. Durations are seconds."""

    retry_base_s: float
    max_tries: int
    idle_s: float
    """Time after which a runner without work is stopped."""
    slow_poll_s: float
    runner_backoff_s: float
    """Delay of a start after one failure. It doubles with each further failure."""
    delivery_backoff_s: tuple[float, ...]
    """The delays between the attempts of a delivery. There is one more attempt than delays."""
    zone: str
    """The user's time zone."""
    chat: Address | None
    """The session's own chat, or None if it has none."""
    repeat: Callable[[str], Repeat]
    """Returns a channel's policy for attempts of unknown outcome. It never changes."""
    host_actions: frozenset[str] = frozenset()
    """The names of the requests that the host performs."""

    @classmethod
    def of(
        cls,
        config: Config,
        chat: Address | None,
        repeat: Callable[[str], Repeat],
        host_actions: frozenset[str] = frozenset(),
    ) -> "Rules":
        """Return the rules for a session from the host's configuration."""
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
