"""The protocol: JSON objects in lines, version 1 (docs/control-protocol.md). Both ends use this module."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import cattrs
from attrs import Factory, fields, frozen, has

VERSION = 1
MAX_TEXT = 16 * 1024 * 1024
"""Bytes of one chat message."""
MAX_REQUEST = 2 * MAX_TEXT + 64 * 1024
"""Bytes of one request: quotes and line ends of a text take two bytes each."""

MAX_ID = 100

T = TypeVar("T")
Id = str | int | None

_JSON = cattrs.Converter(forbid_extra_keys=True)


def _exactly(value: object, wanted: type) -> object:
    if type(value) is not wanted:
        raise TypeError(f"must be {wanted.__name__}")
    return value


for _kind in (str, int, bool):
    _JSON.register_structure_hook(_kind, _exactly)


class RequestRefused(Exception):
    """A refused request. `id` is the request's if it could be read; `code` is for programs."""

    def __init__(self, id_: Id, code: str, message: str) -> None:
        super().__init__(message)
        self.id = id_
        self.code = code

    def dump(self) -> bytes:
        """Return the answer as a line."""
        return dump({"id": self.id, "error": {"code": self.code, "message": str(self)}})


def bad_request(id_: Id, message: str) -> RequestRefused:
    """Return the refusal of a request that cannot be parsed."""
    return RequestRefused(id_, "bad_request", message)


@frozen
class Request:
    """One request: `{"v": 1, "id": …, "method": …, "params": {…}}`."""

    id: Id
    method: str
    params: Mapping[str, Any] = Factory(dict)


def dump(value: object) -> bytes:
    """Return a value as one line. Attrs classes become objects, dates ISO 8601."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    kind = type(value)
    if has(kind):
        return {field.name: getattr(value, field.name) for field in fields(kind)}
    raise TypeError(f"{type(value).__name__} is nothing for JSON")


def load(line: bytes) -> Mapping[str, Any]:
    """Return the object in one line.

    Raises:
        RequestRefused: it is not a JSON object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_request(None, f"this line is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise bad_request(None, f"this line is a JSON {type(value).__name__}, not an object")
    return value


def load_request(line: bytes | None) -> Request:
    """Return one request; None as input is a line that was too long.

    Raises:
        RequestRefused: it is not a request, or has another version of the protocol.
    """
    if line is None:
        raise RequestRefused(None, "too_long", f"a request has at most {MAX_REQUEST} bytes")
    value = load(line)
    id_, method, params = value.get("id"), value.get("method"), value.get("params", {})
    if not isinstance(id_, str | int) or isinstance(id_, bool) or len(str(id_)) > MAX_ID:
        raise bad_request(None, f"id: must be a text or number, of at most {MAX_ID} characters")
    if value.get("v") != VERSION:
        raise bad_request(id_, f"v: this host speaks version {VERSION} of the protocol")
    if not isinstance(method, str) or not isinstance(params, dict):
        raise bad_request(id_, "the request must have a method (text) and params (object)")
    return Request(id_, method, params)


def load_params(request: Request, shape: type[T]) -> T:
    """Return the parameters of a request.

    Raises:
        RequestRefused: they do not have that shape.
    """
    try:
        return _JSON.structure(request.params, shape)
    except cattrs.BaseValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error, path="params"))
        raise bad_request(request.id, reasons) from error
