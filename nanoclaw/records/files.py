"""The bytes of files in JSON: base64, in any of the forms in which programs write it."""

from base64 import b64decode

_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decoded(data: str) -> bytes:
    r"""Return the bytes of base64: plain or url-safe, broken into lines or not, padded or not.

    Raises:
        ValueError: it is not base64.
    """
    plain = data.encode("ascii").translate(_URL_SAFE, b" \t\r\n").rstrip(b"=")
    return b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
