"""Prints, as JSON, how each public name looks from outside; to be run in both variants (`test_variants.py`)."""

import copy
import inspect
import json
import pickle
import typing
from collections.abc import Iterator
from typing import Any

import heartline
from heartline import dialects, observe
from heartline.core import errors, policy, ports

ROOMS = (heartline, dialects, observe, errors, policy, ports)


def main() -> None:
    """Look at everything."""
    things = {
        f"{room.__name__}.{name}": getattr(room, name)
        for room in ROOMS
        for name in getattr(room, "__all__", vars(room))
        if not name.startswith("_") and getattr(getattr(room, name), "__module__", "heartline").startswith("heartline")
    }
    print(json.dumps({name: dict(face(thing)) for name, thing in things.items()}, indent=1))


def face(thing: Any) -> Iterator[tuple[str, str]]:
    """What can be seen of it."""
    yield "type", f"{type(thing).__module__}.{type(thing).__qualname__}"
    for attribute in ("__module__", "__qualname__", "__doc__"):
        yield attribute, str(getattr(thing, attribute, None))
    yield "signature", attempt(inspect.signature, thing)
    yield "pickled", attempt(lambda: pickle.loads(pickle.dumps(thing)) is thing)
    yield "copied", attempt(lambda: copy.deepcopy(thing) is thing)
    if not inspect.isclass(thing):
        return
    yield "source", attempt(lambda: str(len(inspect.getsource(thing))))
    yield "bases", " ".join(f"{base.__module__}.{base.__qualname__}" for base in thing.__mro__)
    yield "subclass", attempt(lambda: type("Sub", (thing,), {"__slots__": ()}).__name__)
    yield "hints", attempt(typing.get_type_hints, thing)
    for name in dir(thing):
        member = inspect.getattr_static(thing, name)
        yield f"{name}: type", type(member).__qualname__
        yield f"{name}: doc", str(inspect.getdoc(getattr(thing, name, None)))
        if callable(member) and not name.startswith("__"):
            yield f"{name}: signature", attempt(inspect.signature, member)
            yield f"{name}: hints", attempt(typing.get_type_hints, member)


def attempt(function: Any, *arguments: Any) -> str:
    """What comes of it, or what it raises."""
    try:
        return str(function(*arguments))
    except Exception as error:  # noqa: BLE001 - to be compared
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
