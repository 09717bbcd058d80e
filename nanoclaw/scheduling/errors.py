"""The error of this package."""


class ScheduleError(ValueError):
    """A schedule is invalid. The text is one sentence for its author."""
