"""The signals that ask a runner to end. None of them kills it, however many come, and however early or late.

A host that ends a container removes its lifeline and sends SIGTERM, so the runner often gets two.
"""

import signal

ENDING = (signal.SIGTERM, signal.SIGINT)


def note_signals() -> list[int]:
    """Keep the signals from killing this process. Return the list to which those that come are added."""
    noted = list[int]()
    for number in ENDING:
        signal.signal(number, lambda number, _: noted.append(number))
    return noted


def ignore_signals() -> None:
    """Ignore the signals, also while the interpreter shuts down, which takes handlers away."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
