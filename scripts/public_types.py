"""Check that every name a user can import from `heartline` is fully typed, by pyright's own count.

pyright looks at every module without an underscore; what is public here is what `heartline.__all__` and the rooms
below export. Exit status 1, with the names, when a type of theirs is unknown or only inferred.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

FACES = ("heartline", "heartline.faults", "heartline.observe", "heartline.testing.simulator")


def public_prefixes() -> set[str]:
    """Where the public names are defined, as pyright calls them."""
    found: set[str] = set()
    for face in FACES:
        module = import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            home = getattr(value, "__module__", None)
            if isinstance(home, str) and home.startswith("heartline"):
                found.add(f"{home}.{getattr(value, '__qualname__', name)}")
            found.add(f"{face}.{name}")
    return found


def main() -> int:
    """Run pyright and judge."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = ["pyright", "--verifytypes", "heartline", "--ignoreexternal", "--outputjson"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout)
    prefixes = public_prefixes()
    symbols = report["typeCompleteness"]["symbols"]
    public = [s for s in symbols if s["name"] in prefixes or s["name"].rsplit(".", 1)[0] in prefixes]
    poor = [s for s in public if not s["isTypeKnown"] or s["isTypeAmbiguous"]]
    for symbol in poor:
        why = "; ".join(d["message"].splitlines()[0] for d in symbol.get("diagnostics", [])) or "unknown"
        print(f"{symbol['name']}: {why}")
    print(f"{len(public) - len(poor)} of {len(public)} public names are fully typed")
    return int(bool(poor) or len(public) < len(prefixes) / 2)


if __name__ == "__main__":
    sys.exit(main())
