"""The form language: what is said, what is recognised, and what is refused (heartline.dialects.forms)."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from heartline.dialects import forms, presets
from heartline.dialects.forms import check_form, is_lone, match, read, render, say, variables_of

VARIABLES = ("id", "event", "data", "channel", "args", "sub", "now_ms", "param", "keep", "login", "more")
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def every_form() -> list[Any]:
    found: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.append(value)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            found.append(value)
            for inner in value:
                walk(inner)

    for name in presets.NAMES:
        walk(json.loads(presets.load(name).to_json()))
    return found


FORMS = every_form()


@settings(max_examples=300, deadline=None)
@given(form=st.sampled_from(FORMS), data=st.binary(max_size=40) | values.map(lambda v: json.dumps(v).encode()))
def test_rubbish_never_raises(form: Any, data: bytes) -> None:
    for known in ({}, {"id": 1, "event": "x", "data": {"a": 1}, "channel": "c", "args": {"b": []}}):
        found = match(form, read(data), known)
        assert found is None or isinstance(found, dict)


def test_half_a_character_is_no_rubbish() -> None:
    """JavaScript may write it, where a text was cut in the middle of an emoji."""
    assert read(b'{"a":"x\\ud83d"}').value == {"a": "x\ufffd"}
    assert read(b'{"a":"\\ud83d\\ude00"}').value == {"a": "😀"}


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"nul", b"[" * 100_000, b'{"a":' * 5_000, b"1e999", b'{"a":1}x', b"\x00" * 10_000],
)
def test_rubbish_has_no_value(data: bytes) -> None:
    assert read(data).value is UNSET
    assert match({"a": "$data"}, read(data), {}) is None
    assert match({"$text": "$data"}, read(data), {}) == {"data": data.decode("utf-8", "replace")}


@settings(max_examples=300, deadline=None)
@given(event=texts.filter(bool), data=values, number=st.integers(1, 10**9))
def test_what_is_rendered_is_recognised(event: str, data: Any, number: int) -> None:
    variables = {"event": event, "data": data, "id": number}
    for form in (
        {"op": "$event", "d": "$data", "n": "$id"},
        ["$id", None, "$event", {"x": ["$data"]}],
        {"op": "do.${event}!", "id": "${id}", "d": {"$one_of": ["$data"]}},
    ):
        said = say(form, variables)
        assert said is not None
        found = match(form, read(said), {})
        assert found is not None
        for name, value in found.items():
            assert forms.contains(variables[name], value) or str(variables[name]) == value
        assert match(form, read(said), variables) == {}


@settings(max_examples=200, deadline=None)
@given(data=st.dictionaries(texts.filter(lambda t: t not in {"Operator", "..."}), values, max_size=4))
def test_the_rest_of_the_fields_is_recognised(data: dict[str, Any]) -> None:
    form = {"Operator": "$event", "...": "$data"}
    said = say(form, {"event": "Post", "data": data})
    assert said is not None
    assert match(form, read(said), {}) == {"event": "Post", "data": json.loads(json.dumps(data))}


def test_fields_keep_their_order() -> None:
    card = presets.load("card").subscribe
    assert card is not None
    args = {"baseId": 6, "BusinessName": "n", "memberId": 4, "phone": "5", "BusinessID": 2, "cardId": 1}
    assert say(card.say, {"args": args}) == (
        b'{"type":"bindCard","cardId":1,"BusinessID":2,"phone":"5","memberId":4,"BusinessName":"n","baseId":6}'
    )
    assert say({"z": 1, "...": "$data", "a": 2}, {"data": {"m": 3, "b": 4}}) == b'{"z":1,"m":3,"b":4,"a":2}'


def test_data_cannot_forge_a_field() -> None:
    with pytest.raises(ValueError, match="'Operator' belongs to the message itself"):
        say({"Operator": "$event", "...": "$data"}, {"event": "Post", "data": {"Operator": "userLogin"}})
    with pytest.raises(ValueError, match="expected an object"):
        say({"Operator": "$event", "...": "$data"}, {"event": "Post", "data": [1]})
    with pytest.raises(ValueError, match="expected text, got dict"):
        say({"$text": "$data"}, {"data": {}})


def test_variables_without_a_value_drop_their_field() -> None:
    assert render({"a": "$data", "b": "$param.x", "c": "x-${id}", "d": [1, "$data"]}, {}) == {"d": [1, None]}
    assert say("$param.stop", {"param": {}}) is None
    assert say({"$text": "$data"}, {}) is None
    assert render({"$one_of": ["$code", "200"]}, {}) == "200"
    assert render("$param.a.b", {"param": {"a": {"b": 0}}}) == 0
    assert render("$param.a.b", {"param": {"a": 1}}) is UNSET


def test_dollars_can_be_said() -> None:
    assert say({"a": "$$data", "b": "cost: $5"}, {}) == b'{"a":"$data","b":"cost: $5"}'
    assert match({"a": "$$data"}, read(b'{"a":"$data"}'), {}) == {}
    assert match({"a": "$$data"}, read(b'{"a":"$$data"}'), {}) is None


@pytest.mark.parametrize(
    ("form", "message", "known", "found"),
    [
        ({"a": 1}, '{"a":1,"b":2}', {}, {}),
        ({"a": 1}, '{"a":1.0}', {}, {}),
        ({"a": 1}, '{"a":true}', {}, None),
        ({"a": 1}, '{"a":"1"}', {}, None),
        ({"a": None}, '{"a":null}', {}, {}),
        ({"a": None}, "{}", {}, None),
        ([1, "$data"], "[1]", {}, None),
        ([1, "$data"], "[1,2,3]", {}, None),
        ({"a": "$truthy"}, '{"a":0}', {}, None),
        ({"a": "$truthy"}, '{"a":""}', {}, None),
        ({"a": "$truthy"}, '{"a":[]}', {}, {}),
        ({"a": "$any"}, '{"a":null}', {}, {}),
        ({"a": "$any"}, "{}", {}, None),
        ({"a": "$data"}, "{}", {}, None),
        ({"a": "$data"}, '{"b":1}', {}, None),
        ({"a": "$data", "b": 1}, '{"b":1}', {}, {}),
        ({"a": "$data", "...": "$more"}, '{"b":1}', {}, None),
        ({"...": "$more"}, "{}", {}, {"more": {}}),
        ({}, '{"b":1}', {}, {}),
        ([], "[]", {}, {}),
        ({"a": {"b": "$data"}}, '{"a":{}}', {}, None),
        ({"a": "$event"}, "{}", {}, None),
        ({"a": "$event"}, '{"a":1}', {}, None),
        ({"a": "$data"}, "{}", {"data": 1}, None),
        ({"a": "$data", "b": "$data"}, '{"a":1,"b":1}', {}, {"data": 1}),
        ({"a": "$data", "b": "$data"}, '{"a":1,"b":2}', {}, None),
        ({"a": "$args"}, '{"a":{"x":1,"y":2}}', {"args": {"x": 1}}, {}),
        ({"a": "$args"}, '{"a":{"y":2}}', {"args": {"x": 1}}, None),
        ({"a": "${event}OK"}, '{"a":"LoveOK"}', {}, {"event": "Love"}),
        ({"a": "${event}OK"}, '{"a":"OK"}', {}, None),
        ({"a": "${event}OK"}, '{"a":"LoveOK"}', {"event": "Like"}, None),
        ({"a": "${id}"}, '{"a":"7"}', {"id": 7}, {}),
        ({"a": {"$one_of": ["200", 200]}}, '{"a":200}', {}, {}),
        ({"a": {"$one_of": ["200", 200]}}, '{"a":"201"}', {}, None),
        ({"o": "$keep.openId"}, '{"o":"id"}', {}, {"keep": {"openId": "id"}}),
        ({"$text": "ping"}, "ping", {}, {}),
        ({"$text": "ping"}, '"ping"', {}, None),
        ({"$text": "ping"}, "pingx", {}, None),
        ({"a": 1, "...": "$more"}, '{"a":1,"b":2,"c":3}', {}, {"more": {"b": 2, "c": 3}}),
        ("$data", "[1,2]", {}, {"data": [1, 2]}),
        ({"constructor": "$data"}, "{}", {}, None),
        ({"__proto__": 1}, "{}", {}, None),
    ],
)
def test_what_fits(form: Any, message: str, known: dict[str, Any], found: dict[str, Any] | None) -> None:
    assert match(form, read(message.encode()), known) == found


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"a": "$nope"}, r"at: \$nope has no meaning here, only \$data, \$id"),
        ({"a": "$data.x.$"}, "no variable"),
        ({"a": "$Data"}, "no variable"),
        ({"a": "${id}-${data}"}, "one .* at most"),
        ({"a": {"$text": "x"}}, "is the whole message"),
        ({"$text": 1}, "its form is text"),
        ({"$text": "x", "b": 1}, "stands alone"),
        ({"$one_of": []}, "needs a list"),
        ({"$one_of": [1], "b": 1}, "stands alone"),
        ({"a": [{1: 2}]}, "field names are text"),
        ({"a": {1, 2}}, r"at\.a: expected JSON, got set"),
        ({"a": b"x"}, "expected JSON, got bytes"),
    ],
)
def test_what_is_no_form_is_refused(form: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_form(form, "at", frozenset({"id", "data", "any", "truthy"}))


def test_looking_at_forms() -> None:
    form = {"a": ["$id", "x${event}", {"$one_of": ["$data", "$$no"]}], "...": "$more"}
    assert list(variables_of(form)) == ["id", "event", "data", "more"]
    assert is_lone("$data")
    assert is_lone({"$text": "$data"})
    assert not is_lone({"a": "$data"})
    assert not is_lone({"$text": "x${data}"})
