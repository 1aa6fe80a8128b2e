"""Names of channels and events (PROTOCOL 1.4).

Invariant: names that begin with `@` never reach an application under its own name
(test_at_names_belong_to_the_protocol).
"""

import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


def is_name(name: str) -> bool:
    """Whether a peer may use `name` for a channel or an event of an application."""
    return 1 <= len(name) <= 255 and name[0] != "@" and not _CONTROL.search(name)


def check_name(name: object, argument: str) -> str:
    """Return `name` if an application may use it; raise TypeError or ValueError naming `argument`."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a string, not {type(name).__name__}")
    if not is_name(name):
        raise ValueError(
            f"{argument} must have 1 to 255 characters, no control characters and not begin with '@', not {name[:40]!r}"
        )
    return name


def check_channel(name: object, argument: str) -> str:
    """Return `name` if a client may follow it: an application's channel, or one of the protocol's but the inbox."""
    if isinstance(name, str) and len(name) > 1 and name[0] == "@":
        check_name(name[1:], argument)
        return name
    return check_name(name, argument)


def check_texts(**texts: object) -> None:
    """Raise TypeError naming the first that is no string: what compiled code says of it names nothing."""
    for argument, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{argument} must be a string, not {type(text).__name__}")


class KnownNames:
    """Names that were checked before: a program has few, and uses them often."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: set[str] = set()

    def check(self, name: object, argument: str) -> None:
        """As `check_name`, which is asked once."""
        if not isinstance(name, str) or name not in self._names:
            known = check_name(name, argument)
            if len(self._names) >= 1000:
                self._names.clear()
            self._names.add(known)
