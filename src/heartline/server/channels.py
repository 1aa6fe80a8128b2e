"""Rules for channels: which there are, how long they are kept, who may read and publish.

Invariants:
- a channel no rule matches can be neither followed nor published to (test_channels_without_a_rule_are_refused);
- the first rule declared wins (test_first_rule_wins).
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar

from heartline.core.names import check_name
from heartline.core.ports import History

from .handlers import hints_of
from .session import Session

Hook = Callable[..., Any]
_H = TypeVar("_H", bound=Hook)
_PART = re.compile(r"\{([a-z_][a-z0-9_]*)(:path)?\}", re.IGNORECASE)


@dataclass(eq=False)
class Channel:
    """One rule, as `app.channel(…)` returns it. Its decorators add hooks.

    A hook gets the session and the parts of the name it has parameters for, and allows by returning nothing or True;
    it refuses by returning False or raising `Refuse`.
    """

    pattern: str
    history: History
    presence: bool
    publish_allowed: bool
    _regex: re.Pattern[str]
    _subscribe: "Callable[[Session, dict[str, str]], Any] | None" = field(default=None, init=False)
    _publish: "Callable[[Session, dict[str, str]], Any] | None" = field(default=None, init=False)

    def __call__(self, function: _H) -> _H:
        """Use the rule as a decorator: the function judges subscriptions."""
        return self.on_subscribe(function)

    def on_subscribe(self, function: _H) -> _H:
        """Judge who may follow."""
        self._subscribe = _hook(self, function)
        return function

    def on_publish(self, function: _H) -> _H:
        """Judge which client may publish; without this hook, or `publish=True`, none may."""
        self._publish = _hook(self, function)
        self.publish_allowed = True
        return function

    def match(self, channel: str) -> dict[str, str] | None:
        """The parts of a name this rule is for, None when it is not."""
        found = self._regex.fullmatch(channel)
        return found.groupdict() if found is not None else None

    def may_subscribe(self, session: Session, parts: dict[str, str]) -> Any:
        """The hook's answer, to be awaited if it must be; True without a hook."""
        return True if self._subscribe is None else self._subscribe(session, parts)

    @property
    def judges_publications(self) -> bool:
        """Whether a hook is asked before a client's publication."""
        return self._publish is not None

    def may_publish(self, session: Session, parts: dict[str, str]) -> Any:
        """The same for publishing."""
        if self._publish is None:
            return self.publish_allowed
        return self._publish(session, parts)


def make_channel(
    pattern: str, *, history: int, ttl: float | None, history_bytes: int, presence: bool, publish: bool
) -> Channel:
    """Check and compile a rule."""
    check_name(pattern, "pattern")
    _check_kind(int, "a whole number", history=history, history_bytes=history_bytes)
    _check_kind(bool, "True or False", presence=presence, publish=publish)
    _check_kind((int, float, NoneType), "seconds or None", ttl=ttl)
    if history < 0 or history_bytes <= 0 or (ttl is not None and not ttl > 0):
        raise ValueError(f"history must not be negative, ttl and history_bytes must be above 0 (channel {pattern!r})")
    regex, last = "", 0
    literal = _PART.sub("", pattern)
    if "{" in literal or "}" in literal:
        raise ValueError(f"pattern {pattern!r}: a part is written {{name}} or {{name:path}}")
    for part in _PART.finditer(pattern):
        if f"(?P<{part[1]}>" in regex:
            raise ValueError(f"pattern {pattern!r}: there are two parts called {part[1]!r}")
        regex += re.escape(pattern[last : part.start()])
        regex += f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})"
        last = part.end()
    kept = History(history, ttl, history_bytes)
    return Channel(pattern, kept, presence, publish, re.compile(regex + re.escape(pattern[last:]), re.DOTALL))


def _check_kind(kind: type | tuple[type, ...], expected: str, **values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be {expected}, not {value!r}")


def _hook(rule: Channel, function: Hook) -> Callable[[Session, dict[str, str]], Any]:
    """Give a hook what its parameters ask for; raise TypeError for a parameter nobody can fill."""
    hints = hints_of(function)
    wants: list[str] = []
    for name in inspect.signature(function).parameters:
        if hints.get(name) is Session or name == "session":
            wants.append("")
        elif name in rule._regex.groupindex:
            wants.append(name)
        else:
            raise TypeError(f"hook of {rule.pattern!r}: {name!r} is neither the session nor a part of the pattern")

    def call(session: Session, parts: dict[str, str]) -> Any:
        return function(*(parts[want] if want else session for want in wants))

    return call
