"""What can be wrong with a schedule."""


class ScheduleError(ValueError):
    """A schedule cannot be followed; the text is one sentence for whoever wrote it."""
