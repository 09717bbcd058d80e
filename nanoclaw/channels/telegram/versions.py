"""Remembers what messages said, because Telegram also reports edits that change nothing users wrote."""

from collections import OrderedDict

from attrs import Factory, define

from nanoclaw.channels.telegram.receiving import Heard

REMEMBERED = 10_000
"""Messages whose content is remembered, in memory. An edit of any other message is offered."""


@define(eq=False)
class Versions:
    """The content of the newest messages."""

    _known: OrderedDict[tuple[str, str], int] = Factory(OrderedDict)

    def is_new(self, heard: Heard) -> bool:
        """Return False for an edit that leaves the text and the files as they were."""
        return not heard.event.version or self._known.get(_key(heard)) != _content(heard)

    def note(self, heard: Heard) -> None:
        """Remember a message, or its edit."""
        self._known[_key(heard)] = _content(heard)
        self._known.move_to_end(_key(heard))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _key(heard: Heard) -> tuple[str, str]:
    return heard.event.address.platform_id, heard.event.event_id


def _content(heard: Heard) -> int:
    return hash((heard.event.message.text, *(file.unique for file in heard.files)))
