"""Speed of the channels of networks. Each module measures one, beside a server of its network on loopback."""

import importlib

PARTS = ("telegram", "matrix", "idle")
Line = tuple[str, float, str]


def run() -> list[Line]:
    lines = list[Line]()
    for part in PARTS:
        lines += importlib.import_module(f"tests.bench.channels.{part}").run()
    return lines
