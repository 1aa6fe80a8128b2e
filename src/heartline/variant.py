"""Compiled or pure: the same source either way.

A wheel may bring the hot paths compiled; where there is none for a machine, or with HEARTLINE_PURE=1 in the environment,
the source runs as it is. Nothing but the speed differs.

Invariant: with HEARTLINE_PURE=1 no compiled module of ours is loaded (test_pure_loads_no_library).
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.util import find_spec

__all__ = ["is_compiled", "prefer_source"]


def is_compiled() -> bool:
    """Whether the core that runs here is compiled."""
    core = find_spec("heartline.core.client")
    return core is not None and not isinstance(core.loader, SourceFileLoader)


def prefer_source(folders: list[str]) -> None:
    """Have whatever lies below these folders loaded from source, also where a library lies beside it."""

    def hook(path: str) -> FileFinder:
        if not any(path == folder or path.startswith(folder + os.sep) for folder in folders):
            raise ImportError(path)
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, hook)
    for path in list(sys.path_importer_cache):
        if path.startswith(tuple(folders)):
            del sys.path_importer_cache[path]
