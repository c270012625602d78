"""The command `python -m dashboard.report`."""

import sys

from dashboard.report.command import main

if __name__ == "__main__":
    sys.exit(main())
