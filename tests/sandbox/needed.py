"""The programs and rights that tests of sandboxes need. If one is missing, a test skips, and fails in CI."""

import os
from functools import cache

import pytest

from nanoclaw.runtimes.bubblewrap.detect import Ready, examine
from nanoclaw.system.sandbox_user import sandbox_owner


@cache
def _bubblewrap() -> Ready | str:
    owner = sandbox_owner()
    return examine("bwrap", owner and owner[0])


def need_bubblewrap() -> None:
    """Skip the test, or fail it in CI, if this machine makes no sandboxes."""
    found = _bubblewrap()
    if isinstance(found, str):
        missing(f"NO SANDBOX IS TESTED: {found}")


def ready_bubblewrap() -> Ready:
    """Return the working bubblewrap of this machine, or skip the test."""
    need_bubblewrap()
    found = _bubblewrap()
    assert isinstance(found, Ready)
    return found


def missing(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
