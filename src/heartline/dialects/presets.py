"""Dialects that are known by name: `presets.echo`, or `presets.load("echo")`. They are data: protocol/dialects/*.json.

Invariants:
- each preset is the JSON file of its name, here and in an installed wheel (test_presets_are_the_files);
- a name that is none says which there are (test_an_unknown_preset_names_the_known_ones).
"""

from functools import cache
from typing import TYPE_CHECKING, Final

from .spec import Dialect

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

NAMES: Final = ("card", "community", "echo", "heart", "okx", "phoenix", "plain", "trades")
"""The presets there are."""

card: Dialect
community: Dialect
echo: Dialect
heart: Dialect
okx: Dialect
phoenix: Dialect
plain: Dialect
trades: Dialect


@cache
def load(name: str) -> Dialect:
    """The preset of this name. Raises ValueError naming those there are."""
    if name not in NAMES:
        raise ValueError(f"dialect: no preset {name!r}, only {', '.join(NAMES)}; or give a Dialect of your own")
    return Dialect.from_json(_folder().joinpath(f"{name}.json").read_bytes())


def _folder() -> "Traversable":
    """Where they are: in the installed package, or in the repository it runs from."""
    from importlib.resources import files  # brings threads in: only when a preset is read

    package = files("heartline")
    shipped = package / "protocol" / "dialects"
    return shipped if shipped.is_dir() else package / ".." / ".." / "protocol" / "dialects"


def __getattr__(name: str) -> Dialect:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES})
