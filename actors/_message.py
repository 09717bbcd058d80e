"""The message protocol, and the message that is being handled now."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast

from attrs import frozen
from outcome import Outcome

A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

HandleAll = Callable[[Any, Sequence[Any]], Awaitable[Sequence[Outcome[Any]]]]


class Message(Protocol[A_contra, R_co]):
    """A frozen attrs class with its own handler. The types of actor and reply are checked statically.

    A class may also define `async def handle_all(cls, actor: A, messages: Sequence[Self]) ->
    Sequence[Outcome[R]]` as a classmethod. It gets the waiting run: consecutive messages of exactly that
    class, at most `Policy.batch`. It answers each with an `outcome.Value` or an `outcome.Error`. Signals
    always go through `handle`, one by one.
    """

    async def handle(self, actor: A_contra, /) -> R_co:
        """Handle the message. A `Refusal` goes to the asker; any other exception crashes the actor."""
        ...


@frozen
class Current:
    """The message being handled: the actor's name and the message's type."""

    actor: str
    message: str


_current: ContextVar[Current | None] = ContextVar("actors.current", default=None)


def current() -> Current | None:
    """Return the message being handled by this task, or by the handler that started this task."""
    return _current.get()


set_current = _current.set
"""Set the value of `current`. For the runtime only."""


class Kind:
    """Facts about one message class and one actor, looked up once per class."""

    __slots__ = ("current", "handle_all")

    def __init__(self, actor: str, message_type: type) -> None:
        self.current = Current(actor, message_type.__name__)
        self.handle_all = cast("HandleAll | None", getattr(message_type, "handle_all", None))
