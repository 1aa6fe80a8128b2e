"""Ships `protocol/`, the examples and the built TypeScript client inside the wheel, below heartline/.

A hook rather than lines in pyproject.toml, because an editable install would get copies too: a second,
incomplete `heartline` that type checkers find first. The client is shipped where js/dist has it: `heartline demo` says
what is missing where it has not.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CLIENT = "js/dist/esm"
EXAMPLES = ("*.py", "*/*.py", "*/page/**/*", "gallery/**/*")


class ShippedHook(BuildHookInterface[Any]):
    """Adds them to real wheels, not to editable ones."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version != "standard":
            return
        include, root = build_data["force_include"], Path(self.root)
        include["protocol"] = "heartline/protocol"
        for pattern in EXAMPLES:
            for file in sorted((root / "examples").glob(pattern)):
                if file.is_file() and "__pycache__" not in file.parts:
                    name = file.relative_to(root).as_posix()
                    include[name] = f"heartline/{name}"
        for file in sorted((root / CLIENT).glob("*.js")):
            include[file.relative_to(root).as_posix()] = f"heartline/examples/client/{file.name}"
