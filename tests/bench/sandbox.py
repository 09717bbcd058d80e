"""Sandboxes: what they cost, beside a runner without one."""

import trio

from tests.bench.bubblewrapped import bubblewrap
from tests.bench.containers import containers
from tests.bench.web import Line, proxy_throughput


def run() -> list[Line]:
    """Measure all lines of this part."""
    return [*bubblewrap(), trio.run(proxy_throughput), *containers()]
