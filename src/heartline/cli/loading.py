"""Finding the application that `heartline serve module:app` names.

Invariant: whatever is wrong with it is told in one line that names the place (test_a_wrong_app_is_explained).
"""

import importlib
import os
import sys
import traceback

from heartline.server import Server

from .exits import Stop


def load_app(name: str) -> Server:
    """Import `module:attribute`, from the current folder first. Raises Stop."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise Stop(f"{name!r}: expected MODULE:APP, for example shop:app for `app = heartline.Server()` in shop.py")
    if module_name.endswith(".py") or os.sep in module_name:
        dotted = module_name.removesuffix(".py").strip(f".{os.sep}").replace(os.sep, ".")
        raise Stop(f"{name!r} names a file: say it as Python imports it, {dotted}:{attribute}")
    sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise Stop(f"there is no module {error.name!r} in {os.getcwd()} or on Python's path") from None
        raise Stop(f"{module_name!r} cannot be imported: {_place(error)}") from None
    except Exception as error:  # noqa: BLE001 - the application's own, told to the person who starts it
        raise Stop(f"{module_name!r} cannot be imported: {_place(error)}") from None
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Stop(f"module {module_name!r} has no {attribute!r}{_candidates(module_name)}") from None
    if not isinstance(found, Server):
        raise Stop(f"{name!r} is of type {type(found).__name__}, expected a heartline.Server{_candidates(module_name)}")
    return found


def place_of(error: BaseException) -> str:
    """An error on one line, with the file and line it came from."""
    return _place(error)


def _place(error: BaseException) -> str:
    text = " ".join(traceback.format_exception_only(error)[-1].split())
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f"{os.sep}heartline{os.sep}" not in f.filename]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} ({error.filename}, line {error.lineno})"
    return f"{text} ({own[-1].filename}, line {own[-1].lineno})" if own else text


def _candidates(module_name: str) -> str:
    """The servers a module has, as a hint."""
    module = sys.modules.get(module_name)
    names = [name for name, value in vars(module).items() if isinstance(value, Server)] if module else []
    return f"; did you mean {' or '.join(f'{module_name}:{name}' for name in names)}?" if names else ""
