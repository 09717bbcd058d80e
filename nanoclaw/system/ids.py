"""Identifiers: a prefix and a random part, drawn from the seam for randomness."""

from random import Random

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16


class Naming(Random):
    """Randomness that is told the purpose of each id, for recordings and replays."""

    def name(self, what: str) -> str:
        """Return the random part of an id. The same `what` may be used again."""
        raise NotImplementedError


def random_name(random: Random) -> str:
    """Return the random part of an id: 80 bits."""
    return "".join(random.choices(CROCKFORD, k=ID_LENGTH))


def new_id(prefix: str, random: Random, *what: str | None) -> str:
    """Return a new identifier such as `ag-3f9k2m8x0c7v1b5n`. It may be used in a path (contract 1).

    `what` names its purpose by ids and addresses. This tells apart ids that are drawn at the same time.
    """
    if isinstance(random, Naming):
        return f"{prefix}-{random.name(' '.join([prefix, *(part or '-' for part in what)]))}"
    return f"{prefix}-{random_name(random)}"
