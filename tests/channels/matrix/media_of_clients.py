"""Encrypted files as other clients make and read them, by nio."""

from collections.abc import Mapping
from typing import Any

from nio.crypto.attachments import decrypt_attachment, encrypt_attachment

from tests.channels.matrix.synapse import Person


def encrypted_upload(person: Person, name: str, data: bytes) -> Mapping[str, Any]:
    """Upload a file, encrypted. Return the content of its message."""
    sealed, keys = encrypt_attachment(data)
    return {
        "msgtype": "m.file",
        "body": name,
        "filename": name,
        "file": {**keys, "url": person.uploads(sealed)},
    }


def opened(file: Mapping[str, Any], sealed: bytes) -> bytes:
    """Return the content of an encrypted file of a message."""
    content: bytes = decrypt_attachment(sealed, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
    return content
