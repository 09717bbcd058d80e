"""A passing error before the receiver is asked delays a row, and does not make its outcome doubtful."""

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from nanoclaw.dispatch.dispatcher import Dispatcher
from nanoclaw.session import Conversation, Source
from nanoclaw.session.outcomes import Later
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Exhausted, StoreFull, StoreUnavailable
from tests.host.sessions import CHAT, RULES, row
from tests.store.openings import StillClock


@frozen
class Failing:
    """A receiver whose databases the system cannot serve."""

    error: StoreUnavailable

    async def attempt(self, *_: object) -> Any:
        raise self.error


@pytest.mark.parametrize("kind", [Exhausted, StoreFull, StoreUnavailable])
async def test_a_row_is_held_while_the_system_cannot_serve_a_database(kind: type[StoreUnavailable]) -> None:
    failing: Any = Failing(kind(Path("v2.db"), "not now"))
    nobody: Any = None
    source = Source(Conversation(nobody, nobody, CHAT), nobody, RULES)
    begun = Delivery(row(), attempts=1)
    given, result = await Dispatcher(failing, failing, failing, StillClock()).attempt(source, begun)
    assert isinstance(result, Later)
    assert (given, result.asked) == (begun, False)
    assert "not now" in result.reason
