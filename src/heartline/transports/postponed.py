"""Using modules of a package without what its `__init__` gathers from all the others.

Python runs a package's `__init__` before any of its modules. That of picows loads all that proxies need (python-socks:
a seventh of the time from the start of a process to its first connection), that of aiofastnet all that TLS needs (a
tenth), and many processes use neither. Here it runs when somebody asks the package itself for a name;
`importlib.util.LazyLoader` is the same for single modules.

Invariants:
- whoever imports the package finds all of it (test_a_postponed_package_is_whole);
- a name that is had from one module is the same before and after (test_a_name_of_one_module_needs_no_more);
- one that somebody has imported already is left as it is (test_an_imported_package_is_left_alone).
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

__all__ = ["postpone"]

_lock = RLock()
_waiting: dict[str, dict[str, str]] = {}  # packages whose `__init__` has not run, and modules of names that do without


class _Postponed(ModuleType):
    """A package whose `__init__` has not run; afterwards it is a module like any other."""

    def __getattr__(self, name: str) -> Any:
        modules = _waiting.get(self.__name__)
        if modules is not None and name in modules:
            return getattr(import_module(f"{self.__name__}.{modules[name]}"), name)
        with _lock:
            modules = _waiting.get(self.__name__)
            if modules is not None:
                del _waiting[self.__name__]
                try:
                    assert self.__spec__ is not None
                    assert self.__spec__.loader is not None
                    self.__spec__.loader.exec_module(self)
                except BaseException:
                    _waiting[self.__name__] = modules
                    raise
                self.__class__ = ModuleType  # type: ignore[assignment]  # CPython allows it for modules
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self) from None


def postpone(package: str, /, **modules: str) -> None:
    """Let the modules of a top-level package be imported without running its `__init__`, unless it has run.

    `modules`: for names of the package the modules that have them, for which `__init__` is not run either.
    """
    with _lock:
        spec = None if package in sys.modules else PathFinder.find_spec(package)
        if spec is None or spec.loader is None or spec.submodule_search_locations is None:
            return  # there already, or found otherwise, or not at all: importing it says so
        module = _Postponed(package)
        module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, package
        module.__path__, module.__file__ = spec.submodule_search_locations, spec.origin
        _waiting[package] = modules
        sys.modules[package] = module
