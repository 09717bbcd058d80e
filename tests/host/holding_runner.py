"""A runner that reads `inbound.db` in an endless transaction and ignores all else: `holding_runner.py MARK`.

It tells through the FIFO at MARK that it holds the lock; where MARK is not there, this is our runner.
"""

import os
import signal
import sys
from pathlib import Path

import apsw

from agent_runner import main

MARK = Path(sys.argv[1])


def hold() -> None:
    connection = apsw.Connection(os.environ["SESSION_INBOUND_DB_PATH"], flags=apsw.SQLITE_OPEN_READONLY)
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM messages_in").fetchall()
    MARK.write_text("held")
    signal.pause()


if __name__ == "__main__":
    if MARK.exists():
        hold()
    sys.exit(main.main(sys.argv[2:]))
