"""Marks of messages for people: the time of a reminder or a late message, and quotes instead of ids."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import Factory, define

from nanoclaw.records import Outgoing

LATE = timedelta(minutes=1)
"""A message that is shown later than this after it was written is marked with its time."""
KEPT = 200
"""Number of texts that are remembered, so that edits and reactions can quote them."""
QUOTED = 40
"""Characters of a quote."""


def time_mark(outgoing: Outgoing, now: datetime, zone: str) -> str:
    """Return the mark of a scheduled or late message, with its time; empty for any other."""
    if outgoing.scheduled_at is not None:
        return f"[reminder, {_when(outgoing.scheduled_at, now, zone)}] "
    if outgoing.written_at is not None and now - outgoing.written_at > LATE:
        return f"[{_when(outgoing.written_at, now, zone)}] "
    return ""


def _when(moment: datetime, now: datetime, zone: str) -> str:
    try:
        local, today = (each.astimezone(ZoneInfo(zone)) for each in (moment, now))
    except OverflowError:  # an agent may write any date
        return moment.isoformat(" ", "minutes")
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"


@define(eq=False)
class Excerpts:
    """The beginnings of the last texts, by the platform's id of their message."""

    _texts: dict[str, str] = Factory(dict)

    def keep(self, id_: str, text: str) -> None:
        """Remember a text. The oldest is forgotten."""
        line = " ".join(text.split())
        self._texts[id_] = line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"
        while len(self._texts) > KEPT:
            del self._texts[next(iter(self._texts))]

    def quoted(self, id_: str) -> str:
        """Return a quote of a text, after a space; empty if it is not known."""
        text = self._texts.get(id_)
        return f' "{text}"' if text else ""
