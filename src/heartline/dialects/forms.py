"""Forms: JSON values with variables in them, which spell a message and recognise one (protocol/DIALECTS.md §2).

The same form serves both ends: who says it renders it, who hears it matches it.

Invariants:
- a message that does not fit is no match, whatever it is, and never an error (test_rubbish_never_raises);
- what was rendered matches its own form, and gives the variables back (test_what_is_rendered_is_recognised);
- the order of fields is the form's (test_fields_keep_their_order);
- data never overwrites a field that the form spells (test_data_cannot_forge_a_field).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec import UNSET, json

from .native import with_halves_as

Form = Any
"""Whatever JSON holds."""
Vars = Mapping[str, Any]

TEXT: Final = "$text"
ONE_OF: Final = "$one_of"
REST: Final = "..."
ANY: Final = "any"
TRUTHY: Final = "truthy"
OPTIONAL: Final = frozenset(
    {"data", "args", "login", "keep", "param", "reply", "sub", "code", "why", "error", "retry", "now_ms", "more"}
)
"""Variables whose field may be absent from a message that is matched."""

_WHOLE: Final = re.compile(r"\$([a-z_]+)((?:\.[A-Za-z0-9_-]+)*)\Z")
_INSIDE: Final = re.compile(r"\$\{([a-z_]+)((?:\.[A-Za-z0-9_-]+)*)\}")
_Bad = (ValueError, RecursionError)  # msgspec's own are ValueErrors, and so is what is not UTF-8


class Heard(NamedTuple):
    """One message as it came: its bytes, and its value where it is JSON (UNSET otherwise)."""

    data: bytes
    value: Any

    @property
    def text(self) -> str:
        """The message as text."""
        return self.data.decode("utf-8", "replace")


def read(data: bytes) -> Heard:
    """Take a message apart. Rubbish has no value; half a character, as JavaScript may write it, is U+FFFD."""
    try:
        return Heard(data, json.decode(data))
    except _Bad:
        try:
            return Heard(data, json.decode(with_halves_as(data, rb"\ufffd")))
        except _Bad:
            return Heard(data, UNSET)


# saying


def say(form: Form, variables: Vars) -> bytes | None:
    """One message's bytes; None where the form comes to nothing. ValueError for data that cannot be said so."""
    if isinstance(form, dict) and TEXT in form:
        text = render(form[TEXT], variables)
        if text is not UNSET and not isinstance(text, str):
            raise ValueError(f"data: expected text, got {type(text).__name__}")
        return None if text is UNSET else text.encode()
    value = render(form, variables)
    return None if value is UNSET else json.encode(value)


def render(form: Form, variables: Vars) -> Any:
    """The form with every variable replaced; UNSET where it comes to nothing."""
    if isinstance(form, str):
        return _render_text(form, variables)
    if isinstance(form, dict):
        if ONE_OF in form:
            return next((v for one in form[ONE_OF] if (v := render(one, variables)) is not UNSET), UNSET)
        return _render_fields(form, variables)
    if isinstance(form, list | tuple):
        return [None if (value := render(one, variables)) is UNSET else value for one in form]
    return form


def _render_fields(form: dict[str, Form], variables: Vars) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, inner in form.items():
        value = render(inner, variables)
        if value is UNSET:
            continue
        if name != REST:
            fields[name] = value
            continue
        if not isinstance(value, dict):
            raise ValueError(f"data: expected an object, whose fields go into the message, got {type(value).__name__}")
        for field, part in value.items():
            if field in form:
                raise ValueError(f"data: the field {field!r} belongs to the message itself")
            fields[field] = part
    return fields


def _render_text(form: str, variables: Vars) -> Any:
    if "$" not in form:
        return form
    if form.startswith("$$"):
        return form[1:]
    whole = _WHOLE.match(form)
    if whole is not None:
        return lookup(variables, whole[1], whole[2])
    inside = _INSIDE.search(form)
    if inside is None:
        return form
    value = lookup(variables, inside[1], inside[2])
    return UNSET if value is UNSET else f"{form[: inside.start()]}{_as_text(value)}{form[inside.end() :]}"


def lookup(variables: Vars, name: str, path: str) -> Any:
    """A variable's value, or what lies at `path` (".a.b") in it."""
    value = variables.get(name, UNSET)
    for step in path.split(".")[1:]:
        if not isinstance(value, dict) or step not in value:
            return UNSET
        value = value[step]
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.encode(value).decode()


# hearing


def match(form: Form, heard: Heard, known: Vars) -> dict[str, Any] | None:
    """What the form's unknown variables stand for in this message; None when it does not fit."""
    found: dict[str, Any] = {}
    if isinstance(form, dict) and TEXT in form:
        return found if _fits(form[TEXT], heard.text, known, found) else None
    return found if heard.value is not UNSET and _fits(form, heard.value, known, found) else None


def _fits(form: Form, value: Any, known: Vars, found: dict[str, Any]) -> bool:
    if isinstance(form, str):
        return _text_fits(form, value, known, found)
    if isinstance(form, dict):
        if ONE_OF in form:
            return any(_fits(one, value, known, found) for one in form[ONE_OF])
        return isinstance(value, dict) and _fields_fit(form, value, known, found)
    if isinstance(form, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(form)
            and all(_fits(one, part, known, found) for one, part in zip(form, value, strict=True))
        )
    return same(form, value)


def _fields_fit(form: dict[str, Form], value: dict[str, Any], known: Vars, found: dict[str, Any]) -> bool:
    named = form.keys() - {REST}
    if named and named.isdisjoint(value):
        return False  # or a form of nothing but fields that may be absent would fit every object
    for name, inner in form.items():
        if name == REST:
            rest = {field: part for field, part in value.items() if field not in form}
            if not _fits(inner, rest, known, found):
                return False
        elif name in value:
            if not _fits(inner, value[name], known, found):
                return False
        elif not _may_be_absent(inner, known):
            return False
    return True


def _may_be_absent(form: Form, known: Vars) -> bool:
    whole = _WHOLE.match(form) if isinstance(form, str) else None
    return whole is not None and whole[1] in OPTIONAL and lookup(known, whole[1], whole[2]) is UNSET


def _text_fits(form: str, value: Any, known: Vars, found: dict[str, Any]) -> bool:
    if "$" not in form:
        return isinstance(value, str) and value == form
    if form.startswith("$$"):
        return isinstance(value, str) and value == form[1:]
    whole = _WHOLE.match(form)
    if whole is not None:
        return _variable_fits(whole[1], whole[2], value, known, found)
    inside = _INSIDE.search(form)
    if inside is None:
        return isinstance(value, str) and value == form
    before, after = form[: inside.start()], form[inside.end() :]
    if not isinstance(value, str) or len(value) <= len(before) + len(after):
        return False
    if not (value.startswith(before) and value.endswith(after)):
        return False
    middle = value[len(before) : len(value) - len(after)]
    wanted = lookup(known, inside[1], inside[2])
    if wanted is UNSET:
        wanted = lookup(found, inside[1], inside[2])
    return _capture(found, inside[1], inside[2], middle) if wanted is UNSET else middle == _as_text(wanted)


def _variable_fits(name: str, path: str, value: Any, known: Vars, found: dict[str, Any]) -> bool:
    if name == ANY:
        return True
    if name == TRUTHY:
        return value is not None and value is not False and value != "" and not (is_number(value) and value == 0)
    if name == "event" and not isinstance(value, str):
        return False
    wanted = lookup(known, name, path)
    if wanted is UNSET:
        wanted = lookup(found, name, path)
    return _capture(found, name, path, value) if wanted is UNSET else contains(wanted, value)


def _capture(found: dict[str, Any], name: str, path: str, value: Any) -> bool:
    *steps, last = [name, *path.split(".")[1:]]
    place = found
    for step in steps:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            return False
    place[last] = value
    return True


def contains(wanted: Any, value: Any) -> bool:
    """Whether `value` is `wanted`, perhaps with more fields in its objects."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(k in value and contains(v, value[k]) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(contains(one, part) for one, part in zip(wanted, value, strict=True))
        )
    return same(wanted, value)


def same(one: Any, other: Any) -> bool:
    """Equality of scalars as JSON has it: true is not 1, 1 is 1.0."""
    if is_number(one) and is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def is_number(value: Any) -> bool:
    """Whether JSON would call it a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# looking at forms


def variables_of(form: Form) -> Iterator[str]:
    """The names of the variables in a form, as often as they occur."""
    if isinstance(form, str):
        if "$" in form and not form.startswith("$$"):
            whole = _WHOLE.match(form)
            if whole is not None:
                yield whole[1]
            else:
                yield from (inside[1] for inside in _INSIDE.finditer(form))
    elif isinstance(form, dict):
        for inner in form.values():
            yield from variables_of(inner)
    elif isinstance(form, list | tuple):
        for inner in form:
            yield from variables_of(inner)


def is_lone(form: Form) -> bool:
    """Whether a form is one variable and nothing else, so that it fits every message."""
    if isinstance(form, dict) and set(form) == {TEXT}:
        form = form[TEXT]
    return isinstance(form, str) and _WHOLE.match(form) is not None


def check_form(form: Form, where: str, allowed: frozenset[str]) -> None:
    """Raise TypeError or ValueError naming the place `where` for what can be no form, or has an unknown variable."""
    _check_shape(form, where, top=True)
    for name in variables_of(form):
        if name not in allowed:
            known = ", ".join(f"${one}" for one in sorted(allowed - {ANY, TRUTHY}))
            raise ValueError(f"{where}: ${name} has no meaning here, only {known}")


def _check_shape(form: Form, where: str, *, top: bool = False) -> None:
    if isinstance(form, dict):
        for name, inner in form.items():
            if not isinstance(name, str):
                raise TypeError(f"{where}: field names are text, not {name!r}")
            if name in {TEXT, ONE_OF} and len(form) != 1:
                raise ValueError(f"{where}: {name} stands alone in its object")
            if name == TEXT and not (top and isinstance(inner, str)):
                raise ValueError(f"{where}: {TEXT} is the whole message, and its form is text")
            if name == ONE_OF and not (isinstance(inner, list | tuple) and inner):
                raise ValueError(f"{where}: {ONE_OF} needs a list of forms")
            _check_shape(inner, f"{where}.{name}")
    elif isinstance(form, list | tuple):
        for i, inner in enumerate(form):
            _check_shape(inner, f"{where}[{i}]")
    elif isinstance(form, str):
        if len(_INSIDE.findall(form)) > 1:
            raise ValueError(f"{where}: one ${{variable}} at most inside a text, not {form!r}")
        if form.startswith("$") and not form.startswith("$$") and not (_WHOLE.match(form) or _INSIDE.search(form)):
            raise ValueError(f"{where}: {form!r} is no variable; a text that begins with $ is written $$…")
    elif form is not None and not isinstance(form, bool | int | float):
        raise TypeError(f"{where}: expected JSON, got {type(form).__name__}")
