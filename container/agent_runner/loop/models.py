"""The models of a session: the first, its fallback, and which of them is down."""

from collections.abc import Callable

import trio
from attrs import define, evolve, field, frozen

from agent_runner.loop.client import ModelClient, ModelReply, ModelRequest
from agent_runner.loop.errors import ModelError, Problem, unreachable
from agent_runner.providers.model_settings import ModelSettings

AGAIN_AFTER_S = 60.0
"""A model that is down is tried again after this time, or when its server asks for it."""
QUICK_TRIES = 2
"""Further tries at once, if nothing has been streamed."""
QUICK_WAITS = (1.0, 3.0)
QUICK_S = 8.0
"""The longest wait that a server may ask for in between."""
NEARLY = 0.1
"""The part of the silence that is left at most when the gateway, which waits as long, gives a server up."""


@frozen(eq=False)
class Model:
    """A model that can be asked."""

    client: ModelClient
    settings: ModelSettings
    is_fallback: bool = False


@define(eq=False)
class Requests:
    """Bounds the requests of one turn."""

    left: int
    made: int = 0

    def take(self) -> None:
        """Count a request. Raises ModelError if there were too many."""
        if not self.left:
            raise ModelError(Problem.RETRY, f"the turn has sent {self.made} requests, which is the most")
        self.left -= 1
        self.made += 1


@define(eq=False)
class Models:
    """Chooses the model to ask. It keeps in memory which one is down."""

    first: Model
    fallback: Model | None = None
    _down_until: float = field(default=0.0, init=False)
    """The first model is not asked before this time, on trio's clock."""

    def current(self) -> Model:
        """Return the model to ask now."""
        if self.fallback is not None and trio.current_time() < self._down_until:
            return self.fallback
        return self.first

    def failed(self, model: Model, error: ModelError) -> bool:
        """Note that a model is down. Return True if there is another one to ask now."""
        if model.is_fallback or self.fallback is None:
            return False
        self._down_until = trio.current_time() + max(AGAIN_AFTER_S, error.wait_s or 0.0)
        return True

    def works(self, model: Model) -> None:
        """Note that a model has answered."""
        if not model.is_fallback:
            self._down_until = 0.0


async def ask(
    model: Model, request: ModelRequest, requests: Requests, streamed: Callable[[str], None]
) -> ModelReply:
    """Ask a model. If its server fails before it has sent any text, try twice more within seconds.

    Raises ModelError.
    """
    for wait in QUICK_WAITS:
        watched = _Streamed(streamed)
        try:
            return await _ask_once(model, request, requests, watched)
        except ModelError as error:
            if not _is_brief(error) or watched.has_text:
                raise
            pause = max(wait, error.wait_s or 0.0)
        streamed("")
        await trio.sleep(pause)
    return await _ask_once(model, request, requests, _Streamed(streamed))


def _is_brief(error: ModelError) -> bool:
    return error.problem is Problem.RETRY and (error.wait_s or 0.0) <= QUICK_S and not error.is_silence


async def _ask_once(
    model: Model, request: ModelRequest, requests: Requests, streamed: "_Streamed"
) -> ModelReply:
    requests.take()
    silence = model.settings.timeout_s
    with trio.move_on_after(silence) as scope:

        def heard(text: str) -> None:
            scope.deadline = trio.current_time() + silence
            streamed(text)

        try:
            return await model.client.ask(request, heard)
        except ModelError as error:
            left = scope.deadline - trio.current_time()
            if error.problem is Problem.RETRY and left < silence * NEARLY:
                raise evolve(error, is_silence=True) from error
            raise
    raise unreachable(f"the model's server was silent for {silence:g} s", is_silence=True)


@define(eq=False)
class _Streamed:
    """Notes if any text has come."""

    pass_on: Callable[[str], None]
    has_text: bool = False

    def __call__(self, text: str) -> None:
        self.has_text = self.has_text or bool(text)
        self.pass_on(text)
