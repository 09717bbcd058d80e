"""A chat network of your own: users write files into the folder `in`, and answers appear in `out`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import trio

import nanoclaw
from nanoclaw import (
    Address,
    Capabilities,
    ChatMessage,
    InboundEvent,
    Intake,
    Outgoing,
    Receipt,
    SimpleChannel,
)
from nanoclaw.logs import configure_logging

CHAT = Address("folder", "here")


class Folder(SimpleChannel):
    """The channel. `SimpleChannel` supplies the other methods."""

    channel_type = "folder"
    capabilities = Capabilities("idempotent")  # a message that is sent again writes the same file

    def __init__(self, root: Path) -> None:
        self.inbound, self.outbound = root / "in", root / "out"
        self.inbound.mkdir()
        self.outbound.mkdir()

    async def receive(self, intake: Intake, /) -> None:
        """Offer each file. Its removal confirms it, so it is removed after `offer` has returned."""
        while True:
            for file in sorted(self.inbound.glob("*.txt")):
                event_id = f"{file.name} {file.stat().st_mtime_ns}"
                message = ChatMessage(event_id, file.read_text("utf-8"), "me", "folder:me")
                await intake.offer(InboundEvent(CHAT, event_id, message))
                file.unlink()
            await trio.sleep(0.05)

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Write the file completely before the receipt is returned."""
        file = self.outbound / f"{outgoing.message_out_id}.txt"
        file.with_suffix(".new").write_text(nanoclaw.render(outgoing), "utf-8")
        file.with_suffix(".new").replace(file)
        return Receipt(file.name)


async def main(root: Path) -> None:
    """Send a message and print the answer."""
    folder = Folder(root)
    async with nanoclaw.open_host(nanoclaw.load_config(), channels=[folder]) as host:
        await host.admin.wirings.connect(CHAT, "main", policy="public")
        (folder.inbound / "1.new").write_text("hello", "utf-8")
        (folder.inbound / "1.new").rename(folder.inbound / "1.txt")
        while not (answers := list(folder.outbound.glob("*.txt"))):  # noqa: ASYNC110 -- a folder sends no events
            await trio.sleep(0.05)
        print(answers[0].read_text("utf-8"))


if __name__ == "__main__":
    configure_logging("error")
    with TemporaryDirectory() as root:
        trio.run(main, Path(root))
