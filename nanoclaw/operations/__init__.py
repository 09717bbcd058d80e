"""The one list of administrative operations.

Each is declared once, as a method of a noun. `host.admin`, the control protocol, the command line and
docs/cli.md are derived from the list.
"""

from nanoclaw.operations.admin import NOUNS, Admin
from nanoclaw.operations.catalogue import BadNoun, Catalogue
from nanoclaw.operations.declaration import (
    Internal,
    Named,
    Operation,
    Parameter,
    Reference,
    Text,
    operation,
)
from nanoclaw.operations.dispatch import OperationFailed, Operations
from nanoclaw.operations.errors import BadArguments, Forbidden, Unavailable
from nanoclaw.operations.ground import Ground, SessionAccess
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Caller, Right
from nanoclaw.operations.session_files import SessionFiles

__all__ = [
    "NOUNS",
    "Admin",
    "BadArguments",
    "BadNoun",
    "Caller",
    "Catalogue",
    "Forbidden",
    "Ground",
    "Internal",
    "Named",
    "Noun",
    "Operation",
    "OperationFailed",
    "Operations",
    "Parameter",
    "Reference",
    "Right",
    "SessionAccess",
    "SessionFiles",
    "Text",
    "Unavailable",
    "operation",
]
