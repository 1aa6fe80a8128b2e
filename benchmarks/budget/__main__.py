"""`python -m benchmarks.budget`: fails when a hot path costs over 5 % more instructions than budget.json says.

`--write` makes what is measured now the budget: a change of that file says in its commit why.
"""

import argparse
import sys

from .record import check, write


def main() -> None:
    """Count, compare, tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make this the budget")
    if parser.parse_args().write:
        write()
    elif told := check():
        sys.exit(told)


if __name__ == "__main__":
    main()
