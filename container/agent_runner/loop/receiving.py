"""Puts an answer together from the pieces of a stream, within bounds."""

from collections.abc import Callable

from attrs import define, field

from agent_runner.loop.client import LONGEST_ANSWER, LONGEST_ARGUMENTS, MOST_CALLS, ModelReply, Stop, Usage
from agent_runner.loop.conversation import read_call
from agent_runner.loop.errors import not_an_answer


@define
class _Call:
    id: str
    name: str = ""
    arguments: str = ""


@define(eq=False)
class Receiving:
    """An answer that is coming in. `is_full` says that the rest need not be read."""

    _streamed: Callable[[str], None]
    _shown: Callable[[str], str] = lambda text: text
    """Returns the part of a text that is the answer."""
    usage: Usage = field(factory=Usage)
    stop: Stop | None = None
    """Why it ended; None if it has not."""
    _text: str = field(default="", init=False)
    _calls: dict[object, _Call] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    @property
    def is_full(self) -> bool:
        """True if the answer is as long as an answer may be."""
        too_many = len(self._calls) >= MOST_CALLS or self._size >= LONGEST_ARGUMENTS
        return too_many or len(self._text) >= LONGEST_ANSWER

    def heard(self) -> None:
        """Note that the server has said something that is not text."""
        self._streamed("")

    def text(self, piece: object) -> None:
        """Add a piece of the text."""
        if isinstance(piece, str) and piece:
            self._text += piece
            self._streamed(self._shown(self._text))

    def call(self, key: object, id_: object, name: object, arguments: object) -> None:
        """Add to the call with this key: its id and name once, its arguments piece by piece."""
        call = self._calls.setdefault(key, _Call(str(id_ or "")))
        if isinstance(name, str) and name and not call.name:
            call.name = name
            self._size += len(name)
        if isinstance(arguments, str):
            call.arguments += arguments[: LONGEST_ARGUMENTS - self._size]
            self._size += len(arguments)
        self.heard()

    def id_of(self, key: object) -> str:
        """Return the id of a call, or an empty text."""
        return self._calls[key].id if key in self._calls else ""

    def reply(self) -> ModelReply:
        """Return the whole answer. Raises ModelError if it has not ended."""
        if self.is_full:
            self.stop = "length"
        if self.stop is None:
            raise not_an_answer("the stream ended before the answer did")
        calls = tuple(
            read_call(call.id or f"call_{n}", call.name, call.arguments)
            for n, call in enumerate(self._calls.values(), 1)
        )
        text = self._shown(self._text)[:LONGEST_ANSWER]
        return ModelReply(text=text, calls=calls, stop=self.stop, usage=self.usage)
