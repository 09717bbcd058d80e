"""Reads webhooks: who sent a request, and what happened. It does no I/O."""

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qs

from attrs import frozen

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.reading import read_json
from nanoclaw.channels.http.signatures import hex_signature, is_standard, same

Style = Literal["secret", "hmac", "github", "standard"]
LONGEST_ID = 200
_IDS: Mapping[Style, str] = {"github": "x-github-delivery", "standard": "webhook-id"}
_EVENTS: Mapping[Style, str] = {"github": "x-github-event"}


@frozen
class Received:
    """A webhook that its sender has signed."""

    id: str | None
    """The sender's id of the event; None if it has none."""
    event: str
    """The kind of event."""
    payload: Any
    """Any JSON value."""


def read_webhook(
    style: Style, secret: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> Received:
    """Return the event of a webhook.

    Args:
        style: the way in which its sender shows that it has the secret.
        secret: the shared secret.
        headers: the headers of the request, with names in lower case.
        body: the body of the request.
        now_s: the time, in seconds since 1970.

    Raises:
        ApiError: the sender does not have the secret, or the body is no JSON.
    """
    if not _is_signed(style, secret, headers, body, now_s):
        raise ApiError(401, "the signature or secret is missing or wrong", code="invalid_signature")
    id_ = _header(headers, _IDS.get(style, "x-webhook-id"))
    event = _header(headers, _EVENTS.get(style, "x-webhook-event"))
    payload = _payload(headers, body)
    if event is None:
        named = payload.get("type") if isinstance(payload, dict) else None
        event = named if isinstance(named, str) and 0 < len(named) <= LONGEST_ID else "event"
    return Received(id_, event, payload)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name, "").strip()
    if len(value) > LONGEST_ID:
        raise ApiError(422, f"must have at most {LONGEST_ID} characters", param=name)
    return value or None


def _is_signed(style: Style, secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    match style:
        case "secret":
            given = headers.get("x-webhook-secret") or headers.get("authorization", "").removeprefix(
                "Bearer "
            )
            return same(given, secret)
        case "hmac":
            return same(headers.get("x-webhook-signature", ""), hex_signature(secret, body))
        case "github":
            return same(headers.get("x-hub-signature-256", ""), hex_signature(secret, body))
        case "standard":
            id_, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            return is_standard(secret, id_, at, body, headers.get("webhook-signature", ""), now_s)


def _payload(headers: Mapping[str, str], body: bytes) -> Any:
    """Return the JSON of a body, or of the field `payload` of a form, which GitHub can send."""
    if not body.strip():
        return None
    if (
        headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/x-www-form-urlencoded"
    ):
        return read_json(body)
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
    except ValueError as error:
        raise ApiError(400, f"the form is damaged: {str(error)[:200]}") from error
    if "payload" not in fields:
        raise ApiError(422, "is missing", param="payload")
    return read_json(fields["payload"][0].encode("utf-8", "replace"))


def size_of(payload: Any) -> int:
    """Return the characters of a payload as JSON."""
    return len(json.dumps(payload, ensure_ascii=False))
