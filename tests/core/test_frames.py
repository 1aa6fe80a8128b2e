"""The frames are those of the protocol's page, and forgiving where it says so."""

import re
from pathlib import Path
from typing import get_args

from msgspec import UNSET, Raw

from heartline.core import frames
from heartline.core.frames import DownFrame, UpFrame
from heartline.dialects.native import decode_down, decode_up

PAGE = (Path(__file__).resolve().parents[2] / "protocol" / "PROTOCOL.md").read_text()


def test_frames_are_the_kinds_of_the_protocol() -> None:
    up: set[str] = set()
    down: set[str] = set()
    for line in PAGE.splitlines():
        cells = line.split(" | ")
        if line.startswith("| ") and len(cells) >= 4:
            up |= set(re.findall(r'`\["(\w+)"', "".join(cells[:2])))
            down |= set(re.findall(r'`\["(\w+)"', "".join(cells[2:])))
    assert up == {kind.__struct_config__.tag for kind in get_args(UpFrame)}
    assert down == {kind.__struct_config__.tag for kind in get_args(DownFrame)}
    assert len(up) == 12
    assert len(down) == 14


def test_unknown_elements_are_ignored() -> None:
    assert decode_up(b'["at","c",3,{"more":[]},null]') == frames.At("c", 3)
    assert decode_down(b'["ack",3,4]') == frames.Ack(3)
    hello = decode_up(b'["hello",{"instance":"i","floor":1,"from the future":{"x":1}},7]')
    assert hello == frames.Hello(frames.HelloBody("i", 1))
    gap = decode_down(b'["gap","c",{"epoch":"e","after":0,"to":1,"reason":"none","hint":1}]')
    assert gap == frames.Gap("c", frames.GapBody("e", 0, 1, "none"))


def test_optional_elements() -> None:
    assert decode_up(b'["sub",1,"c"]') == decode_up(b'["sub",1,"c",null]') == frames.Sub(1, "c")
    assert decode_up(b'["sub",1,"c",[null,4]]') == frames.Sub(1, "c", (None, 4))
    assert decode_up(b'["bye"]') == frames.Bye()
    assert decode_down(b'["msg","c",5,"e",1]') == decode_down(b'["msg","c",5,"e",1,null]')
    assert decode_down(b'["move",{}]') == frames.Move(frames.MoveBody(0.0, 0.0))
    assert decode_down(b'["refused",{"code":"x"}]') == frames.Refused(frames.RefusedBody("x", "", False))
    ok = decode_down(b'["ok",1,{}]')
    assert isinstance(ok, frames.Ok)
    assert (ok.body.epoch, ok.body.offset, ok.body.state) == (None, UNSET, UNSET)


def test_a_snapshot_may_be_null() -> None:
    ok = decode_down(b'["ok",1,{"epoch":"e","offset":0,"state":null}]')
    assert isinstance(ok, frames.Ok)
    assert isinstance(ok.body.state, Raw)
    assert bytes(ok.body.state) == b"null"
