"""Packages that bring channels and runtimes, as pip would install them, in a folder on the path."""

from pathlib import Path

CHANNEL = '''
from attrs import field, frozen

from nanoclaw import ChannelContext, ChannelFactory, SimpleChannel, render
from nanoclaw.records import Address, ChatMessage, InboundEvent, Receipt


@frozen
class LetterConfig:
    greeting: str
    token: str = field(default="none", repr=False)
    pages: tuple[int, ...] = (1,)


class Letters(SimpleChannel):
    """A message at each start; what is answered goes to a file of the channel's folder."""

    repeat = "again"

    def __init__(self, config: LetterConfig, context: ChannelContext) -> None:
        self.channel_type, self.config, self.context = context.name, config, context

    async def receive(self, intake):
        message = ChatMessage("1", self.config.greeting, "Ann", "letter:ann")
        await intake.offer(InboundEvent(Address(self.channel_type, "box"), "1", message))

    async def deliver(self, outgoing):
        self.context.folder.mkdir(parents=True, exist_ok=True)
        (self.context.folder / "answer").write_text(render(outgoing))
        return Receipt(None)


LETTER = ChannelFactory(LetterConfig, Letters)
NO_FACTORY = Letters
DEAF = ChannelFactory(LetterConfig, lambda config, context: object())
BROKEN = ChannelFactory(LetterConfig, lambda config, context: 1 / 0)
'''

RUNTIME = """
from attrs import frozen

from nanoclaw import RuntimeContext, RuntimeFactory
from nanoclaw.runtimes import Death, StartFailed


@frozen
class NowhereConfig:
    reason: str = "there is nothing here"


@frozen
class Nowhere:
    config: NowhereConfig
    name: str

    def refusal(self, provider):
        return None if provider == "echo" else f"nowhere runs no {provider}"

    async def run(self, spec, *, task_status):
        raise StartFailed(self.config.reason)

    async def survivors(self):
        return ()

    async def recover(self, spec):
        raise StartFailed(self.config.reason)


NOWHERE = RuntimeFactory(NowhereConfig, lambda config, context: Nowhere(config, context.name))
"""


def install(folder: Path, package: str, source: str, group: str, **points: str) -> Path:
    """Put a package of one module there, with entry points: name = attribute."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{package}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {package}:{attribute}" for name, attribute in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
    return folder
