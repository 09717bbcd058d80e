"""The agents of a world: their brains, and what these raised."""

from collections import Counter
from collections.abc import Callable, MutableMapping

from attrs import define, field

from agent_runner.providers import Provider
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.scripted_provider import MAX_TRIES, Brain, Script, provider_of


@define(eq=False)
class Agent:
    """An agent group of a world: its folder and its provider."""

    folder: str
    provider: str
    brain: str | Brain = field(repr=False)
    """The brain of the agent. It does not change."""


@define(eq=False)
class Agents:
    """The agents of one world. It adds a provider for each brain that is a function or a script."""

    providers: MutableMapping[str, Callable[[], Provider]]
    real: bool
    """True if runners are processes, so that brains are providers by name."""
    default: str = "echo"
    """The brain of an agent for which none is given."""
    max_tries: int = MAX_TRIES
    """The setting of the host that was started last."""
    by_folder: dict[str, Agent] = field(factory=dict)
    raised: list[str] = field(factory=list)
    """Sentences about the errors that brains raised. Their messages are tried again."""

    def agent(self, folder: str, brain: str | Brain | None) -> Agent:
        """Return the agent of a folder; a new one has the default brain if none is given.

        Raises:
            WorldError: the agent has another brain, or the world is real and the brain is not a name.
        """
        if (there := self.by_folder.get(folder)) is None:
            return self._new(folder, self.default if brain is None else brain)
        if brain is not None and brain != there.brain:
            raise WorldError(
                f"the agent {folder!r} already has another brain; "
                "pass the brain where you first make the agent"
            )
        return there

    def _new(self, folder: str, brain: str | Brain) -> Agent:
        made = self.by_folder[folder] = Agent(folder, self._provider(folder, brain), brain)
        return made

    def _provider(self, folder: str, brain: str | Brain) -> str:
        if isinstance(brain, str):
            return brain
        if self.real:
            raise WorldError(
                "World(real=True): brain must be the name of a provider, because runners are processes"
            )
        name = f"brain-{folder}"
        if isinstance(brain, Script):
            brain.max_tries = lambda: self.max_tries
        self.providers[name] = provider_of(name, brain)
        return name

    def note(self, event: str, details: tuple[object, ...]) -> None:
        """Note what a brain raised. It is a step of the timeline."""
        if event == "brain raised":
            agent, what = details
            self.raised.append(f"the brain of {agent} raised {what}")

    def report(self) -> list[str]:
        """Return a line for each error that brains raised."""
        return [f"{what}, {n} times" if n > 1 else what for what, n in Counter(self.raised).items()]
