"""The command `python -m tests.kills`."""

import sys

from tests.kills.harness import main

if __name__ == "__main__":
    sys.exit(main())
