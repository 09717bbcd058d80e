"""A day of a household as a page: its sessions as lanes."""

from html import escape

from nanoclaw.testing.household import Household
from nanoclaw.testing.play import Outcome


def page(household: Household, outcome: Outcome) -> str:
    """One self-contained HTML page."""
    return f"<pre>{escape(repr(household))}\n{escape(outcome.timeline.text())}</pre>"
