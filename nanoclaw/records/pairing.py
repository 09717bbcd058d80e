"""Pairing: the code that an owner types in a chat to show who they are there."""

import re
from datetime import datetime
from hashlib import blake2b
from hmac import compare_digest
from random import Random
from typing import Literal

from attrs import evolve, field, frozen

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Letters and digits that nobody takes for one another: without 0, 1, I, L and O."""
HALF = 5
"""Characters of each half of a code. Ten of them have 49 bits."""
_FORM = re.compile(
    r"(?:/start(?:@\w{1,64})?\s+)?"  # the link of a network may add this
    rf"[`\"'*]{{0,3}}([2-9A-HJKMNP-Za-hjkmnp-z]{{{HALF}}})[ \-\u2010-\u2015]?"
    rf"([2-9A-HJKMNP-Za-hjkmnp-z]{{{HALF}}})[`\"'*.]{{0,3}}"
)
LONGEST = 100
"""Longest message in characters that may be a code."""

TryVerdict = Literal["paired", "again", "wrong", "expired", "used", "too many", "none"]
"""The result of a code that was typed. `again`: the same user has paired with it before. `none`: there is no
code to compare with, so the message is an ordinary one.
"""


@frozen
class PairingCode:
    """A row of `pairing_codes`. It has no code, only its hash."""

    channel_type: str
    code_hash: str
    salt: str
    person: str
    folder: str
    created_at: datetime
    expires_at: datetime
    used_by: str | None = None
    used_at: datetime | None = None
    platform_id: str | None = None
    answer: str | None = None
    wrong: int = 0

    def fits(self, code: str) -> bool:
        """Return True for the right code."""
        return compare_digest(self.code_hash, hash_of(code, self.salt))


@frozen
class NewCode:
    """A code with what is stored of it."""

    code: str = field(repr=False)
    """The code, as people read it: two halves with a hyphen."""
    salt: str
    code_hash: str

    @classmethod
    def generate(cls, random: Random) -> "NewCode":
        """Return a new code. `random` must be a source that nobody can predict, such as `SystemRandom`."""
        code, salt = _characters(random), random.randbytes(16).hex()
        return cls(f"{code[:HALF]}-{code[HALF:]}", salt, hash_of(code, salt))


def _characters(random: Random) -> str:
    """Return random characters with a letter and a digit: hardly any ordinary text looks like them."""
    while True:
        code = "".join(random.choice(ALPHABET) for _ in range(2 * HALF))
        if not (code.isalpha() or code.isdecimal()):
            return code


def hash_of(code: str, salt: str) -> str:
    """Return the hash of a code in the form of `code_in`."""
    return blake2b(code.encode(), key=bytes.fromhex(salt), digest_size=32).hexdigest()


def code_in(text: str) -> str | None:
    """Return the code that a message consists of, without its hyphen; None if it is no code."""
    if len(text) > LONGEST or (found := _FORM.fullmatch(text.strip())) is None:
        return None
    code = "".join(found.groups()).upper()
    return None if code.isalpha() or code.isdecimal() else code


def used(code: PairingCode, by: str, platform_id: str, answer: str, now: datetime) -> PairingCode:
    """Return a code after its use."""
    return evolve(code, used_by=by, used_at=now, platform_id=platform_id, answer=answer)
