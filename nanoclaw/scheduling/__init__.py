"""Computes when a schedule fires next (contract 4, Recurrence). All functions are pure.

A schedule is a text: five cron fields (minute, hour, day of month, month, day of week), six with the seconds
first, an alias such as `@daily`, `@every <seconds>`, or a duration such as `5m` or `@every 1h30m`. A *slot*
is a time at which it fires.

Where local time jumps, the rules are those of Debian's cron:

- A schedule that names both minute and hour (`30 2 * * *`) follows local time. A time that the clock skips
  fires right after the gap, once for all skipped times. A time that the clock shows twice fires at the first.
  So a daily schedule has one slot for each date, even for a date that a zone left out.
- A schedule whose minute or hour begins with `*` (`*/10 * * * *`, `@hourly`) follows elapsed time. It fires
  whenever the clock shows a matching time: in both passes of a repeated hour, and never in a gap.
- `@every` ignores local time. It adds its duration, at least a second, to the previous slot.

If a day field begins with `*`, a date must match both day fields. Otherwise it must match one of them.
Fields take numbers, names, lists, ranges (also `22-4`, `fri-mon`) and steps, and also: `L` (last day), `15W`
(the weekday nearest to the 15th, or to the last day of a shorter month), `5#2` (second Friday), `5L` (last
Friday), and `?` for `*` in the day fields.
"""

from nanoclaw.records import CatchUp
from nanoclaw.scheduling.catch_up import MAX_CATCH_UP, DueSlots, due_slots
from nanoclaw.scheduling.durations import duration
from nanoclaw.scheduling.errors import ScheduleError
from nanoclaw.scheduling.expression import canonical
from nanoclaw.scheduling.slots import check, next_run, period, slot_after

__all__ = [
    "MAX_CATCH_UP",
    "CatchUp",
    "DueSlots",
    "ScheduleError",
    "canonical",
    "check",
    "due_slots",
    "duration",
    "next_run",
    "period",
    "slot_after",
]
