"""Files of messages for tests: made from bytes, and read while they can be."""

from pathlib import Path

from attrs import evolve, field, frozen

from nanoclaw.records import Outgoing, OutgoingFile


@frozen
class ReadFile(OutgoingFile):
    """A file that was sent. Its content outlasts the host's copy."""

    content: bytes = field(repr=False)

    @property
    def data(self) -> bytes:
        """The whole content."""
        return self.content


def with_content(outgoing: Outgoing) -> Outgoing:
    """Return a message whose files can be read after its delivery."""
    if not outgoing.files:
        return outgoing
    files = tuple(ReadFile(each.name, each.path, each.size, each.data) for each in outgoing.files)
    return evolve(outgoing, files=files)


def file_to_send(folder: Path, name: str, data: bytes) -> OutgoingFile:
    """Write a file into a folder, and return it as the host hands it to a channel."""
    path = folder / name
    path.write_bytes(data)
    return OutgoingFile(name, path, len(data))
