"""`python -m agent_runner`: see `agent_runner.main`."""

import sys

from agent_runner.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
