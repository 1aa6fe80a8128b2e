"""Dialects as values, and the presets (heartline.dialects.spec, heartline.dialects.presets)."""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heartline.dialects import presets
from heartline.dialects.spec import Beat, Dialect, Event, Login, Reconnect, Request, Send, Subscribe

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ROOT / "protocol" / "dialects"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dialect(name=""), "name: expected a text of 1 to 64"),
        (lambda: Dialect(name=3), "name: expected a text"),
        (lambda: Dialect(name="x", beat={"interval": 1}), "beat: expected Beat or None, got dict"),
        (lambda: Dialect(name="x", reconnect=None), "reconnect: expected Reconnect"),
        (lambda: Dialect(name="x", events=[{"match": 1}]), "events: expected a list of Event"),
        (lambda: Dialect(name="x", events="no"), "events: expected a list, got str"),
        (lambda: Dialect(name="x", opening=[{"a": "$data"}]), r"opening\[0\]: \$data has no meaning here"),
        (lambda: Dialect(name="x", goodbye="$event"), r"goodbye: \$event has no meaning"),
        (lambda: Dialect(name="x", params=[1]), "params: expected an object"),
        (lambda: Beat(interval=0), "beat.interval: expected seconds above 0, got 0"),
        (lambda: Beat(interval=True), "beat.interval: expected seconds"),
        (lambda: Beat(timeout=float("inf")), "beat.timeout: expected seconds"),
        (lambda: Beat(timeout="1"), "beat.timeout: expected seconds"),
        (lambda: Beat(by="both"), "beat.by: expected 'client' or 'server', got 'both'"),
        (lambda: Beat(by="server"), "beat.say: what the server says is needed"),
        (lambda: Beat(answer={"a": 1}), "beat.answer: an RFC 6455 ping"),
        (lambda: Beat(say="$id"), "beat.say: one variable alone"),
        (lambda: Beat(say={"a": 1}, answer={"$text": "$more"}), "beat.answer: one variable alone"),
        (lambda: Beat(say={"a": 1}, after_answer=True), "beat.after_answer: needs beat.answer"),
        (lambda: Beat(quiet=1), "beat.quiet: expected true or false"),
        (lambda: Beat(say={"a": "$data"}), r"beat.say: \$data has no meaning"),
        (lambda: Login(say={"a": "$data"}), r"login.say: \$data has no meaning"),
        (lambda: Login(say="$login", refused="x"), "login.refused: expected a list of forms"),
        (lambda: Login(say="$login", banned=[{"a": "$event"}]), r"login.banned\[0\]: \$event"),
        (lambda: Send(say="$reply"), r"send.say: \$reply"),
        (lambda: Send(say="$data", delivery="once"), "send.delivery: expected 'at_most_once' or 'at_least_once'"),
        (lambda: Send(say="$data", within=0), "send.within: expected seconds"),
        (lambda: Request(say="$data", ok={"id": "$id"}), r"request.ok: has \$id"),
        (lambda: Request(say="$data", ok="$reply", delivery=1), "request.delivery"),
        (lambda: Subscribe(say="$args", stale_after=1), "subscribe.stale_after: needs subscribe.items"),
        (lambda: Subscribe(say="$args", items="$data", stale_after=-1), "subscribe.stale_after: expected seconds"),
        (lambda: Event({"a": 1}), r"events.name: needed where events.match has no \$event"),
        (lambda: Event({"a": 1}, ""), "events.name: expected the name"),
        (lambda: Reconnect(delay=0), "reconnect.delay"),
        (lambda: Reconnect(delay=5, cap=1), r"reconnect.cap: 1 must not be below reconnect.delay \(5\)"),
        (lambda: Reconnect(attempts=0), "reconnect.attempts: expected a number above 0"),
        (lambda: Reconnect(attempts=1.5), "reconnect.attempts"),
    ],
)
def test_dialects_refuse_nonsense(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "dialect: "),
        ("[]", "dialect: "),
        ("{}", "`name`"),
        ('{"name":"x","beats":{}}', "`beats`"),
        ('{"name":"x","beat":{"interval":0}}', "beat.interval"),
        ('{"name":"x","send":{"say":"$reply"}}', "send.say"),
        ('{"name":"x","beat":{"by":"both"}}', "by"),
    ],
)
def test_json_that_is_no_dialect_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dialect.from_json(text)


def test_json_and_python_are_one() -> None:
    ticker = Dialect(
        name="ticker",
        beat=Beat(say={"op": "ping"}, answer={"op": "pong"}, interval=15, timeout=5),
        send=Send(say={"op": "$event", "d": "$data"}, delivery="at_least_once"),
        events=[Event({"op": "$event", "d": "$data"})],  # type: ignore[arg-type]
        opening=[{"op": "hi"}],  # type: ignore[arg-type]
        reconnect=Reconnect(delay=2),
        params={"who": 1},
    )
    assert Dialect.from_json(ticker.to_json()) == ticker
    assert json.loads(ticker.to_json())["send"] == {"say": {"op": "$event", "d": "$data"}, "delivery": "at_least_once"}
    for name in presets.NAMES:
        preset = presets.load(name)
        assert Dialect.from_json(preset.to_json()) == preset


def test_a_dialect_is_a_value() -> None:
    goodbye, params = {"a": [1]}, {"x": {"y": 1}}
    say, match = {"b": [1]}, {"c": [1]}
    dialect = Dialect(name="x", goodbye=goodbye, params=params, send=Send(say=say), events=(Event(match, "c"),))
    goodbye["a"].append(2)
    params["x"]["y"] = 2
    say["b"].append(2)
    match["c"].append(2)
    assert dialect.send == Send(say={"b": [1]})
    assert dialect.events == (Event({"c": [1]}, "c"),)
    assert (dialect.goodbye, dialect.params) == ({"a": [1]}, {"x": {"y": 1}})
    with pytest.raises(AttributeError):
        dialect.name = "y"  # type: ignore[misc]
    assert msgspec.structs.replace(dialect, name="y").goodbye == {"a": [1]}


def test_presets_are_the_files() -> None:
    assert sorted(path.stem for path in PRESETS.glob("*.json")) == list(presets.NAMES)
    for name in presets.NAMES:
        assert getattr(presets, name) is presets.load(name)
        assert presets.load(name) == Dialect.from_json((PRESETS / f"{name}.json").read_bytes())
        assert presets.load(name).name == name


def test_presets_are_in_the_wheel(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        for name in presets.NAMES:
            shipped = archive.read(f"heartline/protocol/dialects/{name}.json")
            assert shipped == (PRESETS / f"{name}.json").read_bytes()


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no preset 'eco', only card, community, echo"):
        presets.load("eco")
    with pytest.raises(AttributeError, match="eco"):
        _ = presets.eco  # type: ignore[attr-defined]
    assert "echo" in dir(presets)
