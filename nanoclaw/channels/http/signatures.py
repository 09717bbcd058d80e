"""Signatures of webhooks and callbacks. All comparisons take constant time."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from hashlib import sha256

TOLERANCE_S = 300.0
"""Age in seconds of the oldest signature with a date that is accepted, and of one from the future."""
_PREFIX = "whsec_"


def same(one: str, other: str) -> bool:
    """Return whether two secrets are equal."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def hex_signature(secret: str, body: bytes) -> str:
    """Return the signature that GitHub and many others send: `sha256=` and the HMAC of the body."""
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


def standard_signature(secret: str, id_: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a webhook by the specification Standard Webhooks."""
    signed = f"{id_}.{timestamp}.".encode("utf-8", "replace") + body
    return "v1," + b64encode(hmac.new(_key(secret), signed, sha256).digest()).decode()


def is_standard(  # noqa: PLR0913, PLR0917 -- the parts of a signed request
    secret: str, id_: str, timestamp: str, body: bytes, signatures: str, now_s: float
) -> bool:
    """Return whether one of several signatures is right, and its date is close to now."""
    recent = timestamp.isascii() and timestamp.isdecimal() and abs(int(timestamp[:12]) - now_s) <= TOLERANCE_S
    expected = standard_signature(secret, id_, timestamp, body)
    right = [same(expected, each) for each in signatures.split()]
    return recent and bool(id_) and any(right)


def _key(secret: str) -> bytes:
    """Return the bytes of a secret. One with the prefix of the specification is base64."""
    if secret.startswith(_PREFIX):
        try:
            return b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (BadBase64, ValueError):
            pass
    return secret.encode()
