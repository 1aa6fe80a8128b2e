"""Where the examples and the built TypeScript client are: inside the wheel, or in a checkout.

Invariant: what is missing is told in one line that says how to get it (test_what_is_missing_is_told).
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from heartline.server import Server

CLIENT = ("index.js", "dialects.js")
SYSTEMS = ("native", "heart", "card", "echo", "trades", "community")
_PACKAGE = Path(__file__).resolve().parents[1]


class DemoError(Exception):
    """The demo cannot start; the text tells a person why, on one line."""


@dataclass(frozen=True, slots=True)
class Places:
    """`examples`: their folder, importable as the package `module`; `client`: the folder of the built ES modules."""

    examples: Path
    module: str
    client: Path

    def system(self, name: str) -> Callable[[Path], Server]:
        """The `build` of a system. Raises DemoError for a package that is not installed."""
        try:
            build: Callable[[Path], Server] = importlib.import_module(f"{self.module}.{name}.server").build
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith(self.module):
                raise DemoError(f"the example {name!r} is missing: expected {self.examples / name}") from None
            raise DemoError(f"{error.name} is missing: pip install 'heartline[demo]'") from None
        return build


def find_places(package: Path = _PACKAGE) -> Places:
    """Look beside this package, then around the checkout it is in. Raises DemoError."""
    inside = package / "examples"
    if (inside / "gallery").is_dir():
        places = Places(inside, "heartline.examples", inside / "client")
    else:
        root = package.parents[1]
        if not (root / "examples" / "gallery").is_dir():
            raise DemoError("the example applications are not here: install the wheel, or run it in a checkout")
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        places = Places(root / "examples", "examples", root / "js" / "dist" / "esm")
    for name in CLIENT:
        if not (places.client / name).is_file():
            raise DemoError(
                f"the TypeScript client is not built ({places.client / name}): npm ci && npm run build in js/"
            )
    return places
