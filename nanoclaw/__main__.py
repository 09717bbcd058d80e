"""`python -m nanoclaw`."""

import sys

from nanoclaw.cli import main

if __name__ == "__main__":
    sys.exit(main())
