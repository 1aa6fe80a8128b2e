"""Run Python with heartline compiled from this tree, instead of the source that is installed here.

python -m scripts.compiled -m pytest tests/core
python -m scripts.compiled -m heartline simulate --seeds 1000
HEARTLINE_PURE=1 python -m scripts.compiled ...     the source beside it, as somebody has it who installed the wheel
"""

import os
import sys

from scripts.wheels import use_compiled


def main() -> None:
    """Become that program."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {__doc__}")
    use_compiled(os.environ)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


if __name__ == "__main__":
    main()
