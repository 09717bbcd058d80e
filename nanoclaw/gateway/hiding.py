"""Hiding a key in an answer: a server may repeat it, in an error for example."""

from attrs import define, field

MIN_SECRET = 8
"""Characters. A shorter key is a placeholder, such as `none`, and may be a common word."""


def _secret(key: str) -> bytes:
    return key.encode() if len(key) >= MIN_SECRET else b""


@define(eq=False)
class Hiding:
    """Replaces a key in a stream by as many `*`. It holds back only bytes that may begin the key."""

    _key: bytes = field(converter=_secret, repr=False)
    _held: bytes = field(default=b"", init=False, repr=False)

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that can be passed on now."""
        if not self._key:
            return chunk
        data = self._hidden(self._held + chunk)
        keep = self._beginning_at_end(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def end(self) -> bytes:
        """Return the bytes that were held back, at the end of the stream."""
        held, self._held = self._held, b""
        return held

    def header(self, value: str) -> str:
        """Return a header's value without the key."""
        return self._hidden(value.encode("latin-1", "replace")).decode("latin-1")

    def _hidden(self, data: bytes) -> bytes:
        return data.replace(self._key, b"*" * len(self._key)) if self._key else data

    def _beginning_at_end(self, data: bytes) -> int:
        """Return the size of the longest end of `data` that is a beginning of the key."""
        longest = min(len(self._key) - 1, len(data))
        return next((size for size in range(longest, 0, -1) if data.endswith(self._key[:size])), 0)
