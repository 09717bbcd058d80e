"""When a schedule fires next (contract 4, Recurrence). Pure functions: no clock, no randomness, no I/O.

A schedule is a text: five cron fields (minute, hour, day of month, month, day of week), six with the seconds
first, an alias such as `@daily`, or `@every <seconds>`. A *slot* is a moment at which it fires.

Where local time jumps, we do as Debian's cron does:

- A schedule whose minute and hour are both named (`30 2 * * *`) follows the clock on the wall. A time that
  the clock skips fires right after the gap, once for all that falls into it; a time that the clock shows
  twice fires at the first. So a daily schedule has one slot for each date, even for one that a zone left out.
- A schedule whose minute or hour begins with `*` (`*/10 * * * *`, `@hourly`) follows elapsed time: it fires
  whenever the clock shows a time that fits, so in both passes of an hour that comes twice, and not in a gap.
- `@every` knows no clock: it adds seconds to the slot before.

If both day fields are named, either may fit; if one begins with `*`, both must. Besides numbers, names,
lists, ranges (also `22-4`, `fri-mon`) and steps, these are understood: `L` (last day), `15W` (the weekday
nearest to the 15th, or to the last day of a shorter month), `5#2` (second Friday), `5L` (last Friday), `?`
for `*` in the day fields.
"""

from nanoclaw.records import CatchUp
from nanoclaw.scheduling.catch_up import MAX_CATCH_UP, DueSlots, due_slots
from nanoclaw.scheduling.errors import ScheduleError
from nanoclaw.scheduling.slots import check, next_run

__all__ = ["MAX_CATCH_UP", "CatchUp", "DueSlots", "ScheduleError", "check", "due_slots", "next_run"]
