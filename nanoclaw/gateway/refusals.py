"""Answers that the gateway gives by itself, in the form of both interfaces' errors."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["forbidden", "too_large", "rate", "key", "upstream", "timeout", "budget"]
STATUS: Mapping[Kind, int] = {
    "budget": 402,
    "forbidden": 403,
    "too_large": 413,
    "rate": 429,
    "upstream": 502,
    "key": 503,
    "timeout": 504,
}


class Refused(Exception):
    """A request that gets no answer of a model. The text is for people."""

    def __init__(self, kind: Kind, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUS[self.kind]

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """The headers of the answer."""
        later = [] if self.retry_after_s is None else [("retry-after", str(self.retry_after_s))]
        return [("content-type", "application/json"), ("content-length", str(len(self.body))), *later]

    @property
    def body(self) -> bytes:
        """The body of the answer. Both SDKs show its message."""
        error = {"type": f"nanoclaw_{self.kind}", "message": str(self)}
        return json.dumps({"type": "error", "error": error}, ensure_ascii=False).encode()
