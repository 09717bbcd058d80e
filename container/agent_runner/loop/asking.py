"""Requests to the models during one turn: counted, bounded, with the tokens that they took."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import define, field

from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.loop.client import ModelReply, ModelRequest, Usage
from agent_runner.loop.errors import LONGEST_WAIT_S, ModelError, Problem
from agent_runner.loop.models import Model, Models, Requests, ask
from agent_runner.loop.tokens import Correction, tokens_of_request
from agent_runner.providers import ProviderContext

RETRY_AFTER_S = 30.0
BUDGET_AFTER_S = 60.0
TOO_LONG = "This is too long for the model. Try a shorter message, or /clear to begin a new conversation."
_ANSWERLESS = "The model cannot answer. Please tell my owner."


@define(eq=False)
class Asking:
    """Asks the models of a session in one turn."""

    context: ProviderContext
    models: Models
    correction: Correction
    requests: Requests
    turn_id: str | None = None
    hear: Callable[[str], None] = lambda _text: None
    """Takes the text of an answer so far, as it comes."""
    used: dict[tuple[str, str], Usage] = field(factory=dict, init=False)
    """The tokens by provider and model."""

    async def ask(
        self,
        prepare: Callable[[Model], Awaitable[ModelRequest]],
        recover: Callable[[Model, ModelError], Awaitable[bool]],
    ) -> ModelReply:
        """Ask the model, or its fallback while it is down.

        `prepare` makes the request for a model. `recover` returns True if it has changed what the next
        request will be, so that it is worth a try. Raises ProviderError, ProviderFatal.
        """
        while True:
            model = self.models.current()
            try:
                return await self.once(model, await prepare(model))
            except ModelError as error:
                if not await self._switched(model, error) and not await recover(model, error):
                    await self.report(error.reason)
                    raise given_up(error, self.context.clock.now()) from error

    async def once(
        self, model: Model, request: ModelRequest, hear: Callable[[str], None] | None = None
    ) -> ModelReply:
        """Ask this model. Raises ModelError."""
        reply = await ask(model, request, self.requests, hear or self.hear)
        self.models.works(model)
        self.correction.learn(tokens_of_request(request), reply.usage)
        key = (model.settings.provider, request.model)
        self.used[key] = self.used.get(key, Usage()) + reply.usage
        return reply

    async def _switched(self, model: Model, error: ModelError) -> bool:
        """Return True if another model can be asked instead of one that is down."""
        is_down = error.problem in {Problem.RETRY, Problem.QUOTA}
        if not is_down or not self.requests.left or not self.models.failed(model, error):
            return False
        await self.report(f"the fallback answers, because of: {error.reason}")
        return True

    async def report(self, reason: str) -> None:
        """Record an error for people to read."""
        await self.context.events.record("error", {"reason": reason}, turn_id=self.turn_id)

    async def record_usage(self, steps: int) -> None:
        """Record the tokens of the turn, an event for each model."""
        for (provider, model), usage in self.used.items():
            data = {
                "provider": provider,
                "model": model,
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "cache_read_tokens": usage.cached,
                "cache_write_tokens": usage.written,
                "requests": self.requests.made,
                "steps": steps,
            }
            await self.context.events.record("usage", data, turn_id=self.turn_id)


def given_up(error: ModelError, now: datetime) -> ProviderError:
    """Return the error that ends a turn, for an error that nothing helps against."""
    match error.problem:
        case Problem.RETRY:
            wait = min(error.wait_s if error.wait_s is not None else RETRY_AFTER_S, LONGEST_WAIT_S)
            return ProviderError(error.reason, now + timedelta(seconds=max(wait, 1.0)))
        case Problem.BUDGET:
            return ProviderError(error.reason, now + timedelta(seconds=BUDGET_AFTER_S))
        case Problem.TOO_LONG:
            return ProviderFatal(error.reason, for_user=TOO_LONG)
        case Problem.QUOTA if error.wait_s:
            until = f"{now + timedelta(seconds=error.wait_s):%H:%M} UTC"
            return ProviderFatal(error.reason, for_user=f"{error.for_user} It may work again at {until}.")
        case _:
            return ProviderFatal(error.reason, for_user=error.for_user or _ANSWERLESS)
