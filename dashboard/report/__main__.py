"""The command `python -m dashboard.report`."""

import sys

from dashboard.report.archive import main

if __name__ == "__main__":
    sys.exit(main())
