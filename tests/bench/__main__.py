"""`make bench`: measure speed. Prints lines `name value unit`, or JSON with `--json`.

A ratio compares two measurements that take turns in one run, so a noisy machine affects both.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence

PARTS = (
    "roundtrip",
    "cold",
    "actors",
    "backtoback",
    "backlog",
    "burst",
    "sessions",
    "ingest",
    "routing",
    "ready",
    "idle",
    "sim",
    "tasks",
    "healthy",
    "history",
    "admin",
    "model",
    "sandbox",
    "channels",
)
Line = tuple[str, float, str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part!r}; choose from {', '.join(PARTS)}")
    measured = dict[str, Line]()
    for part in options.parts or PARTS:
        print(f"measuring {part} ...", file=sys.stderr)
        lines: list[Line] = importlib.import_module(f"tests.bench.{part}").run()
        for line in lines:
            measured[line[0]] = line
            if not options.json:
                print(f"{line[0]:<24} {line[1]:>10.3f} {line[2]}", flush=True)
    if options.json:
        print(json.dumps({name: {"value": value, "unit": unit} for name, value, unit in measured.values()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
