"""Values of approvals: a request before it is checked, and the decision of a person."""

from collections.abc import Mapping

from attrs import field, frozen

from nanoclaw.records.address import Address

CODE_DIGITS = 4
"""Length of the code of a card, which an answer in writing must end with."""


@frozen
class Asked:
    """A request before it is checked. Everything in `values` may be hostile."""

    action: str
    values: Mapping[str, object] = field(repr=False)
    agent_group_id: str | None = None
    """The agent that asks, or that is concerned."""
    session_id: str | None = None
    """The session that asks, and that is told the outcome; None if the host asks."""
    requested_by: str | None = None
    """The user whose message led to the request, if known."""
    address: Address | None = None
    """The chat that was being answered."""
    request_id: str | None = None
    """The outbound row that asks, if an agent does. None: the id of the approval."""


@frozen
class Decision:
    """The choice of a person about an approval. Everything in it may be forged."""

    approval_id: str
    choice: str
    """The value of the button."""
    by: str | None
    """The user who decides. None: whoever administers the host."""
    note: str | None = None
    unlimited: bool = False
    """True for a person who owns the files of the host. Rows cannot limit them."""
