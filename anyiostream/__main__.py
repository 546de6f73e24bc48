"""`python -m anyiostream`: the command line."""

from __future__ import annotations

import sys

from anyiostream.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
