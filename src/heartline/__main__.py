"""`python -m heartline`: the same as the command `heartline`."""

import sys

from heartline.cli import main

if __name__ == "__main__":
    sys.exit(main())
