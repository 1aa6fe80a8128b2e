"""heartline.1 as text: whatever comes in is a frame or a BadFrame, and what goes out comes back."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from heartline.core import frames as f
from heartline.core.errors import BadFrame
from heartline.dialects.native import (
    NativeClient,
    NativeServer,
    decode_down,
    decode_up,
    encode,
    encode_msg,
    encode_reply,
)

BOTH = [decode_up, decode_down]
KINDS = sorted({kind.__struct_config__.tag for kind in [*f.UpFrame.__args__, *f.DownFrame.__args__]})

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
raws = values.map(lambda value: Raw(msgspec.json.encode(value)))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
numbers = st.integers(1, 2**53 - 1)
offsets = st.integers(0, 2**53 - 1)
epochs = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
tokens = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
stamps = st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
seconds = st.floats(0, 1e9)
places = st.tuples(st.none() | epochs, offsets)
beats = st.builds(f.Beat, st.floats(0.001, 86_400), st.floats(0.001, 86_400))

hello = st.builds(
    f.Hello,
    st.builds(
        f.HelloBody,
        tokens,
        numbers,
        st.none() | tokens,
        st.none() | tokens,
        raws,
        st.lists(st.builds(f.Cursor, offsets, names, places), max_size=3),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
        st.none() | beats,
    ),
)
limits = st.builds(f.LimitsBody, numbers, numbers, numbers, numbers, numbers, offsets)
welcome = st.builds(
    f.Welcome,
    st.builds(
        f.WelcomeBody, tokens, st.booleans(), offsets, beats, limits, st.builds(f.Position, epochs, offsets),
        st.none() | tokens, st.none() | seconds, seconds, st.text(max_size=9),
    ),
)  # fmt: skip
ups = st.one_of(
    hello,
    st.builds(f.Login, raws),
    st.builds(f.Call, numbers, names, raws),
    st.builds(f.Send, numbers, names, raws),
    st.builds(f.Pub, numbers, names, names, raws),
    st.builds(f.Settled, numbers),
    st.builds(f.Sub, numbers, names, places),
    st.builds(f.Unsub, numbers, names),
    st.builds(f.At, names, offsets),
    st.builds(f.Ping, stamps),
    st.builds(f.Pong, stamps),
    st.builds(f.Bye, st.text(st.characters(exclude_categories=["Cs"]), max_size=255)),
)
downs = st.one_of(
    welcome,
    st.builds(f.Refused, st.builds(f.RefusedBody, names, st.text(max_size=9), seconds | st.just(False))),
    st.builds(f.Expiring, st.builds(f.ExpiringBody, seconds)),
    st.builds(f.Reply, numbers, raws),
    st.builds(f.Fail, numbers, names.map(lambda code: Raw(msgspec.json.encode({"code": code, "path": "x"})))),
    st.builds(f.Ack, offsets),
    st.builds(f.Ok, offsets, st.builds(f.OkBody, st.none() | epochs, offsets | st.just(UNSET), raws | st.just(UNSET))),
    st.builds(f.No, offsets, st.builds(f.Failure, names, st.text(max_size=9))),
    st.builds(f.Msg, names, numbers, names, raws, st.none() | offsets),
    st.builds(f.Now, names, names, raws),
    st.builds(f.Gap, names, st.builds(f.GapBody, epochs, offsets, offsets, names)),
    st.builds(f.Move, st.builds(f.MoveBody, seconds, seconds)),
    st.builds(f.Ping, stamps),
    st.builds(f.Pong, stamps),
)


@given(ups)
def test_encoding_round_trips(frame: Any) -> None:
    assert encode(decode_up(encode(frame))) == encode(frame)
    assert type(decode_up(encode(frame))) is type(frame)


@given(downs)
def test_encoding_round_trips_down(frame: Any) -> None:
    assert encode(decode_down(encode(frame))) == encode(frame)
    assert type(decode_down(encode(frame))) is type(frame)


# rubbish


def reasons(data: bytes) -> list[str]:
    """Why each side refuses it, where it does."""
    found = []
    for decode in BOTH:
        try:
            decode(data)
        except BadFrame as error:
            found.append(str(error))
    return found


def refused_or_read(data: bytes) -> None:
    assert all(0 < len(reason.encode()) <= 120 for reason in reasons(data))


@given(st.binary(max_size=200))
@example(b"\xff" * 10)
@example(b"[" * 100_000)
@example(b'["msg","c",1,"e",' + b"[" * 100_000 + b"]" * 100_000 + b"]")
@example(b'["msg","c",1,"e",' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]")
@example(b'["ack",' + b"9" * 100_000 + b"]")
@example(b'["ack",1e999999]')
@example(b'["now","\\ud800","e",1]')
@example(b'["' + b"x" * 100_000 + b'"]')
def test_rubbish_is_always_a_bad_frame(data: bytes) -> None:
    refused_or_read(data)


@given(st.sampled_from(KINDS), st.lists(values, max_size=6))
def test_any_elements_are_read_or_refused(kind: str, elements: list[Any]) -> None:
    refused_or_read(msgspec.json.encode([kind, *elements]))


@given(st.one_of(ups, downs).map(encode), st.data())
def test_mangled_frames_are_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    refused_or_read(data[:cut])
    refused_or_read(data[:cut] + draw.draw(st.binary(max_size=3)) + data[cut:])
    refused_or_read(data[:cut] + data[cut + 1 :])


@given(st.one_of(ups, downs).map(encode), values, st.data())
def test_an_element_replaced_is_read_or_refused(data: bytes, value: Any, draw: st.DataObject) -> None:
    elements = json.loads(data)
    i = draw.draw(st.integers(0, len(elements) - 1))
    elements[i] = value
    refused_or_read(msgspec.json.encode(elements))
    if isinstance(elements[-1], dict) and elements[-1]:
        key = draw.draw(st.sampled_from(sorted(elements[-1])))
        elements[-1] = elements[-1] | {key: value}
        refused_or_read(msgspec.json.encode(elements))


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        '["hunter2"]',
        "[\"x'hunter2'y\"]",
        '["ack","hunter2"]',
        '["hunter2',
        '["login"]',
        '["hello",{"instance":"i","floor":1,"login":{"hunter2":1},"cursors":"hunter2"}]',
        '["hello",{"instance":"i","floor":"hunter2"}]',
        '["hello",{"instance":"i","floor":1,"client":{"hunter2":hunter2}}]',
        '["call",1,"hunter2' + "x" * 300 + '",1]',
        '["fail",1,{"code":["hunter2"]}]',
        '["refused",{"code":"x","retry":"hunter2"}]',
        '{"hunter2":1}',
        '"hunter2"',
    ],
)
def test_reasons_repeat_nothing(text: str) -> None:
    found = reasons(text.encode())
    assert found
    assert all(SECRET not in reason and len(reason.encode()) <= 120 for reason in found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('["ack"]', "ack: Expected `array` of at least length 2, got 1"),
        ('["ack","1"]', "ack: Expected `int`, got `str` - at `$[1]`"),
        ('["ack",1', "ack: Input data was truncated"),
        ('["gap","c",{"epoch":"e","after":1,"to":2}]', "gap: Object missing required field `reason` - at `$[2]`"),
        ('["refused",{"code":"x","retry":true}]', "refused: Expected seconds or `false` - at `$[1]`"),
        ('["fail",1,[]]', "fail: Expected `object`, got `array`"),
        ('["reply",1,1]x', "reply: JSON is malformed: trailing characters (byte 14)"),
        ('["call",1,"e",1]', "no kind that is known in this direction"),
        ('["zzz",1]', "no kind that is known in this direction"),
        ("[" * 100_000, "nested too deeply"),
        ('["now","c","e",' + "[" * 100_000, "now: nested too deeply"),
        ("{}", "Expected `array`, got `object`"),
    ],
    ids=lambda text: text[:20],
)
def test_reasons_name_frame_and_element(text: str, reason: str) -> None:
    with pytest.raises(BadFrame) as caught:
        decode_down(text.encode())
    assert str(caught.value) == reason


def test_names_that_are_not_utf_8() -> None:
    with pytest.raises(BadFrame, match="now: not UTF-8"):
        decode_down(b'["now","\xff","e",1]')


# what is written


def test_subscriptions_from_the_head_are_short() -> None:
    assert encode(f.SubStart(1, "c")) == b'["sub",1,"c"]'
    assert decode_up(b'["sub",1,"c"]') == f.Sub(1, "c")
    body = f.HelloBody("i", 1, cursors=[f.Start(1, "c")])  # type: ignore[list-item]
    assert encode(f.Hello(body)) == b'["hello",{"instance":"i","floor":1,"cursors":[[1,"c"]]}]'
    read = decode_up(encode(f.Hello(body)))
    assert isinstance(read, f.Hello)
    assert read.body.cursors == [f.Cursor(1, "c")]


@given(names, numbers, names, values, offsets)
def test_entries_are_written_as_frames_are(channel: str, offset: int, event: str, value: Any, prev: int) -> None:
    data = msgspec.json.encode(value)
    read = decode_down(encode_msg(channel, offset, event, data, prev))
    assert isinstance(read, f.Msg)
    assert (read.channel, read.offset, read.event, bytes(read.data)) == (channel, offset, event, data)
    assert read.prev == (None if prev == offset - 1 else prev)


@given(numbers, values)
def test_replies_are_written_as_frames_are(n: int, value: Any) -> None:
    data = msgspec.json.encode(value)
    assert encode_reply(n, data) == encode(f.Reply(n, Raw(data)))


def test_a_payload_outlives_nothing_but_its_message() -> None:
    data = b'["now","c","e",{"x":1}]'
    read = decode_down(data)
    assert isinstance(read, f.Now)
    assert bytes(read.data) == b'{"x":1}'


def test_codecs_of_both_sides() -> None:
    assert NativeClient.decode(b'["ack",1]') == f.Ack(1)
    assert NativeServer.decode(b'["settled",1]') == f.Settled(1)
    with pytest.raises(BadFrame):
        NativeClient.decode(b'["settled",1]')
    with pytest.raises(BadFrame):
        NativeServer.decode(b'["ack",1]')
    assert NativeServer.encode_value({"a": [1]}) == b'{"a":[1]}'


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (r'"\ud800"', "\ufffd"),
        (r'"a\udc00b"', "a\ufffdb"),
        (r'"\uDBFF\ud83d\ude00\uD83D"', "\ufffd\U0001f600\ufffd"),
        (r'{"\ud800":[1,"\\\\ud800 \\\ud800"]}', {"\ufffd": [1, "\\\\ud800 \\\ufffd"]}),
    ],
)
def test_halves_of_characters_in_payloads(text: str, means: object) -> None:
    """JavaScript can say them, by cutting a string in the middle of a character."""
    up = decode_up(f'["send",1,"e",{text}]'.encode())
    assert isinstance(up, f.Send)
    assert json.loads(bytes(up.data)) == means
    down = decode_down(f'["msg","c",1,"e",{text}]'.encode())
    assert isinstance(down, f.Msg)
    assert json.loads(bytes(down.data)) == means
    for bad in (
        r'["send",1,"\ud800",1]',
        r'["pub",1,"c\ud800","e",1]',
        r'["send",1,"e","\ud800"',
        r'["send","\ud800","e",1]',
    ):
        with pytest.raises(BadFrame):
            decode_up(bad.encode())
