"""`python -m agent_runner`: see `agent_runner.main`."""

import gc
import os
import sys

from agent_runner.asked import ignore_signals, note_signals
from agent_runner.init import fork_below_init

# A runner that is asked to end while it still starts ends in order. `recover` may be killed at any time.
asked = [] if sys.argv[1:] else note_signals()
fork_below_init(os.environ)  # before the imports, so that the first process of a container stays small

gc.disable()  # until all is imported: what a runner imports stays, so each collection would be for nothing

from agent_runner.main import main  # noqa: E402 -- see above

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    code = main(sys.argv[1:], asked=asked)
    ignore_signals()
    sys.exit(code)
