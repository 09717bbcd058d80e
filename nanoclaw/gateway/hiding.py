"""Hiding a key in an answer: a server may repeat it, in an error for example."""

from urllib.parse import quote

from attrs import define, field

MIN_SECRET = 8
"""Characters. A shorter key is a placeholder, such as `none`, and may be a common word."""


def _secret(key: str) -> tuple[bytes, ...]:
    """Return the forms in which a server may repeat a key: as it is, in JSON, and in an address."""
    if len(key) < MIN_SECRET:
        return ()
    in_json = key.replace("\\", "\\\\").replace('"', '\\"')
    forms = {key, in_json, in_json.replace("/", "\\/"), in_json.replace("=", "\\u003d"), quote(key, safe="")}
    return tuple(each.encode() for each in sorted(forms, key=len, reverse=True))


@define(eq=False)
class Hiding:
    """Replaces a key in a stream by as many `*`. It holds back only bytes that may begin the key."""

    _forms: tuple[bytes, ...] = field(converter=_secret, repr=False)
    _held: bytes = field(default=b"", init=False, repr=False)

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that can be passed on now."""
        if not self._forms:
            return chunk
        data = self._hidden(self._held + chunk)
        keep = max(_beginning_at_end(form, data) for form in self._forms)
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
        for form in self._forms:
            data = data.replace(form, b"*" * len(form))
        return data


def _beginning_at_end(form: bytes, data: bytes) -> int:
    """Return the size of the longest end of `data` that is a beginning of this form of the key."""
    longest = min(len(form) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(form[:size])), 0)
