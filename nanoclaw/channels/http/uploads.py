"""Uploads: files in forms and in JSON, written to disk as they come."""

import os
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import IO, Any

import trio
from attrs import Factory, define, frozen
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.reading import LONGEST_TEXT, Fields
from nanoclaw.channels.http.rooms import Upload
from nanoclaw.system.ids import new_id

MOST_PARTS = 32
"""Limit of the fields and files of a form."""
LARGEST_FIELD = 4 * LONGEST_TEXT
"""Limit of a field of a form in bytes."""


@frozen
class Form:
    """The fields and the files of a request."""

    fields: Fields
    files: tuple[Upload, ...] = ()


@frozen
class PartBegan:
    """A part of a form begins."""

    name: str
    filename: str | None
    type: str


PartEvent = PartBegan | bytes
"""The beginning of a part, or some of its content."""


@define(eq=False)
class FormReader:
    """Reads a multipart form piece by piece. It does no I/O."""

    _boundary: bytes
    _parts: int = 0
    _headers: dict[bytes, bytes] = Factory(dict)
    _field: bytes = b""
    _value: bytes = b""
    _found: list[PartEvent] = Factory(list)
    _parser: Any = None
    _ended: bool = False

    def feed(self, data: bytes) -> Sequence[PartEvent]:
        """Return what a piece of the body has.

        Raises:
            ApiError: the form is damaged, or has too many parts.
        """
        try:
            self._open().write(data)
        except FormParserError as error:
            raise ApiError(400, f"the form is damaged: {str(error)[:200]}") from error
        found, self._found = self._found, []
        return found

    def end(self) -> None:
        """Check that the form is complete."""
        if not self._ended:
            raise ApiError(400, "the form is incomplete: its last boundary is missing")

    def _open(self) -> Any:
        if self._parser is None:
            callbacks: Any = {
                "on_part_begin": self._begin,
                "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_end": self._on_end,
            }
            try:
                self._parser = MultipartParser(self._boundary, callbacks)
            except FormParserError as error:
                raise ApiError(400, f"the form is damaged: {str(error)[:200]}") from error
        return self._parser

    def _begin(self) -> None:
        self._headers, self._field, self._value = {}, b"", b""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ApiError(413, f"a form may have at most {MOST_PARTS} fields and files", code="too_large")

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise ApiError(400, "a part of the form has no name")
        filename = options.get(b"filename")
        type_ = self._headers.get(b"content-type", b"application/octet-stream").decode("latin-1")[:200]
        self._found.append(
            PartBegan(_text(options[b"name"]), None if filename is None else _text(filename), type_)
        )

    def _on_end(self) -> None:
        self._ended = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")[:1000]


@define(eq=False)
class _File:
    """A file that is being written."""

    began: PartBegan
    path: Path
    output: IO[bytes]
    size: int = 0
    digest: Any = Factory(sha256)

    @property
    def upload(self) -> Upload:
        name = os.path.basename(self.began.filename or "") or "file"  # noqa: PTH119 -- a name, no path of ours
        return Upload(name, self.began.type or "file", self.path, self.size, self.digest.hexdigest())


@define(eq=False)
class Receiver:
    """Writes the files of one request below a folder."""

    _folder: Path
    _random: Random
    _fields: dict[str, bytearray] = Factory(dict)
    _files: list[_File] = Factory(list)
    _field: str | None = None

    def take(self, found: Sequence[PartEvent]) -> None:
        """Handle parts of a form. It blocks: run it in a worker thread."""
        for each in found:
            if isinstance(each, PartBegan):
                self._begin(each)
            elif self._field is not None:
                self._extend(self._field, each)
            else:
                self._write(each)

    def _begin(self, part: PartBegan) -> None:
        if part.filename is not None:
            self.begin_file(part)
            return
        if part.name in self._fields:
            raise ApiError(422, f"{part.name[:100]} is there twice", param=part.name[:100])
        self._field = part.name
        self._fields[part.name] = bytearray()

    def begin_file(self, part: PartBegan) -> None:
        """Begin a file."""
        path = self._folder / new_id("upload", self._random)
        self._field = None
        self._files.append(_File(part, path, path.open("xb")))

    def _extend(self, field: str, data: bytes) -> None:
        self._fields[field] += data
        if len(self._fields[field]) > LARGEST_FIELD:
            raise ApiError(413, f"{field[:100]} must have at most {LARGEST_FIELD:,} bytes", param=field[:100])

    def _write(self, data: bytes) -> None:
        file = self._files[-1]
        file.output.write(data)
        file.digest.update(data)
        file.size += len(data)

    def add(self, name: str, type_: str, data: bytes) -> None:
        """Write a whole file."""
        self.begin_file(PartBegan("file", name, type_))
        self._write(data)

    def finish(self) -> tuple[Mapping[str, str], tuple[Upload, ...]]:
        """Return the fields and the files."""
        for file in self._files:
            file.output.close()
        fields = {name: value.decode("utf-8", "replace") for name, value in self._fields.items()}
        return fields, tuple(file.upload for file in self._files)

    def remove(self) -> None:
        """Remove the files."""
        for file in self._files:
            file.output.close()
            file.path.unlink(missing_ok=True)


@asynccontextmanager
async def form_of(request: Request, folder: Path, random: Random) -> AsyncIterator[Form]:
    """Read a multipart form. Its files are removed at the end of the context.

    Raises:
        ApiError: it is damaged.
    """
    _, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    if not options.get(b"boundary"):
        raise ApiError(400, "the form has no boundary", param="Content-Type")
    reader = FormReader(options[b"boundary"])
    async with receiving(folder, random) as receiver, aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            found = reader.feed(chunk)
            if found:
                await trio.to_thread.run_sync(receiver.take, found)
        reader.end()
        fields, files = await trio.to_thread.run_sync(receiver.finish)
        yield Form(Fields(fields), files)


@asynccontextmanager
async def files_in(fields: Fields, folder: Path, random: Random) -> AsyncIterator[Form]:
    """Write the files of a JSON body, `files`: objects with `name`, `data` (base64) and maybe `type`.

    Raises:
        ApiError: one does not fit.
    """
    async with receiving(folder, random) as receiver:
        for each in fields.objects("files")[: MOST_PARTS + 1]:
            if len(fields.items("files")) > MOST_PARTS:
                fields.refuse("files", f"may have at most {MOST_PARTS} files")
            each.only(("name", "type", "data"))
            name, type_ = each.name("name"), each.name("type", default="application/octet-stream")
            receiver_data = _decoded(each)
            await trio.to_thread.run_sync(receiver.add, name, type_, receiver_data)
        _, files = await trio.to_thread.run_sync(receiver.finish)
        yield Form(fields, files)


def _decoded(file: Fields) -> bytes:
    try:
        return b64decode(file.text("data", 1 << 26), validate=True)
    except (BadBase64, ValueError):
        file.refuse("data", "must be base64")


@asynccontextmanager
async def receiving(folder: Path, random: Random) -> AsyncIterator[Receiver]:
    """Yield a receiver whose files are removed at the end of the context."""
    receiver = Receiver(folder, random)
    try:
        yield receiver
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(receiver.remove)
