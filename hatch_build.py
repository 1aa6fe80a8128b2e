"""Ships `protocol/` inside the wheel, as heartline/protocol/.

A hook rather than a line in pyproject.toml, because an editable install would get a copy too: a second,
incomplete `heartline` that type checkers find first.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtocolHook(BuildHookInterface[Any]):
    """Adds the protocol to real wheels, not to editable ones."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "standard":
            build_data["force_include"]["protocol"] = "heartline/protocol"
