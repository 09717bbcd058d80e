"""`python -m tests.loop.sdk_names SDK`: compares the usual import of an SDK with that of a runner.

Prints the number of names in its packages, those that differ, and how many modules each import loads.
"""

import json
import re
import sys
from importlib import import_module

from agent_runner.providers.reexports import defer_reexports


def compare(sdk: str) -> dict[str, object]:
    import_module(sdk)
    usual = _loaded(sdk)
    names = [
        (package, name, _told(package, name))
        for package in usual
        if hasattr(sys.modules[package], "__path__")
        for name in list(vars(sys.modules[package]))
        if not name.startswith("__")
    ]
    for module in _loaded(sdk):
        del sys.modules[module]
    defer_reexports(sdk)
    import_module(sdk)
    modules = len(usual), len(_loaded(sdk))
    differ = [(*found, now) for found in names if (now := _told(*found[:2])) != found[2]]
    return {"names": len(names), "differ": differ, "modules": modules}


def _loaded(sdk: str) -> list[str]:
    return [module for module in sys.modules if f"{module}.".startswith(f"{sdk}.")]


def _told(package: str, name: str) -> str:
    """Return where a value comes from."""
    value = getattr(import_module(package), name, "nothing")
    try:
        return re.sub(" at 0x[0-9a-f]+", "", repr(value))
    except Exception:  # noqa: BLE001 -- SDKs have proxies of libraries that are not installed
        return type(value).__name__


if __name__ == "__main__":
    json.dump(compare(sys.argv[1]), sys.stdout)
