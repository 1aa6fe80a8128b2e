"""Cores that are broken on purpose, so that nobody has to take the simulator's word."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

BROKEN: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break the core as `name` says while this lasts. Raises ValueError for a name there is not."""
    if name not in BROKEN:
        raise ValueError(f"core must be one of {', '.join(sorted(BROKEN))}, not {name!r}")
    with BROKEN[name]():
        yield
