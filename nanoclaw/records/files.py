"""Files of messages: their limits, and their bytes in JSON, in any form of base64 that programs write."""

from base64 import b64decode

MAX_FILES = 50
"""Limit of files in one message. A worker that other calls wait for opens each of them."""
MAX_BYTES = 50 * 1024 * 1024
"""Limit for all files of one message together, in bytes."""
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decoded(data: str) -> bytes:
    r"""Return the bytes of base64: plain or url-safe, broken into lines or not, padded or not.

    Raises:
        ValueError: it is not base64.
    """
    plain = data.encode("ascii").translate(_URL_SAFE, b" \t\r\n").rstrip(b"=")
    return b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
