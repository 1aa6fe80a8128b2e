"""Rubbish from clients: a clear close code, nothing secret in the log, nobody else harmed."""

import asyncio
import json
import logging
import random
from typing import Any

import pytest

from heartline.core.codes import Code

from .raw import Raw, greeted, hub_of, make_app, on_loop, raw, until

SECRET = "correct horse battery staple"

# What no client may say once it has been welcomed, and what the reason has to name.
BAD_FRAMES: list[tuple[str, str]] = [
    ("", ""),
    (" ", ""),
    ("hello", ""),
    (SECRET, ""),
    ("{}", ""),
    ('{"a":1}', ""),
    ("[]", ""),
    ("[[]]", ""),
    ("5", ""),
    ("null", ""),
    ('"call"', ""),
    ("[1]", ""),
    ("[null]", ""),
    (f'["{SECRET}"]', "kind"),
    ('["welcome",{}]', "kind"),
    ('["reply",1,1]', "kind"),
    ('["CALL",1,"x",1]', "kind"),
    ('["call"]', "call"),
    ('["call",1]', "call"),
    ('["call",1,"x"]', "call"),
    ('["call",0,"x",1]', "call"),
    ('["call",-1,"x",1]', "call"),
    ('["call",1.5,"x",1]', "call"),
    ('["call",9007199254740992,"x",1]', "call"),
    ('["call","1","x",1]', "call"),
    ('["call",null,"x",1]', "call"),
    ('["call",1,"",1]', "call"),
    ('["call",1,null,1]', "call"),
    (f'["call",1,{{"{SECRET}":1}},1]', "call"),
    ('["call",1,"' + "x" * 256 + '",1]', "call"),
    ('["call",1,"x",{]', "call"),
    ('["call",1,"x",' + SECRET + "]", "call"),
    ('["call",1,"x",1', "call"),
    ('["call",1,"x",1]]', ""),
    ('["call",1,"x",1] ["call",2,"x",1]', ""),
    ('["call",1,"x",NaN]', "call"),
    ('["call",1,"x",0x10]', "call"),
    ("['call',1,'x',1]", ""),
    ('["send",1]', "send"),
    ('["pub",1,"c","e"]', "pub"),
    ('["pub",1,"","e",1]', "pub"),
    ('["settled",0]', "settled"),
    ('["settled"]', "settled"),
    ('["sub",0,"c"]', "sub"),
    ('["sub",1,"c",5]', "sub"),
    ('["sub",1,"c",["e"]]', "sub"),
    ('["sub",1,"c",[5,5]]', "sub"),
    ('["sub",1,"c",["e",-1]]', "sub"),
    ('["sub",1,"c",["' + "e" * 65 + '",1]]', "sub"),
    ('["unsub",1]', "unsub"),
    ('["at","c"]', "at"),
    ('["at","c",-1]', "at"),
    ('["at","c","5"]', "at"),
    ('["ping"]', "ping"),
    ('["ping",null]', "ping"),
    ('["ping",["x"]]', "ping"),
    ('["ping","' + "x" * 65 + '"]', "ping"),
    ('["pong",{}]', "pong"),
    ('["login"]', "login"),
    ('["bye",5]', "bye"),
    ('["bye","' + "x" * 256 + '"]', "bye"),
    ('["hello",{"instance":"i","floor":1}]', "hello"),
    ("[" * 100_000 + "]" * 100_000, ""),
    ('["call",1,"x",' + "[" * 100_000 + "]" * 100_000 + "]", "call"),
    ('["call",1,"x",' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "]", "call"),
    ('["sub",1,"c",' + "[" * 50_000 + "]" * 50_000 + "]", "sub"),
]

BAD_HELLOS: list[Any] = [
    None,
    [],
    "x",
    {},
    {"instance": "i"},
    {"floor": 1},
    {"instance": "", "floor": 1},
    {"instance": "x" * 65, "floor": 1},
    {"instance": 5, "floor": 1},
    {"instance": "i", "floor": 0},
    {"instance": "i", "floor": "1"},
    {"instance": "i", "floor": 1, "session": 5, "key": "k"},
    {"instance": "i", "floor": 1, "session": "s", "key": 5},
    {"instance": "i", "floor": 1, "session": "x" * 65, "key": "k"},
    {"instance": "i", "floor": 1, "cursors": {}},
    {"instance": "i", "floor": 1, "cursors": [1]},
    {"instance": "i", "floor": 1, "cursors": [[1]]},
    {"instance": "i", "floor": 1, "cursors": [[-1, "c"]]},
    {"instance": "i", "floor": 1, "cursors": [[0, "c"]]},
    {"instance": "i", "floor": 1, "cursors": [[1, "c", [1, 1]]]},
    {"instance": "i", "floor": 1, "heartbeat": 5},
    {"instance": "i", "floor": 1, "heartbeat": {"interval": -1, "timeout": 1}},
    {"instance": "i", "floor": 1, "client": "x"},
]


def check_reason(reason: str, word: str) -> None:
    assert word in reason
    assert SECRET not in reason
    assert 0 < len(reason.encode()) <= 120


@on_loop
async def test_rubbish_closes_one_link(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    traced: list[str] = []
    app = make_app(trace=lambda now, what, details: traced.append(f"{what} {details}"))
    app.on("x")(lambda data: data)
    app.channel("c", publish=True)
    async with app.serving() as address, greeted(address) as other:
        for n, (text, word) in enumerate(BAD_FRAMES, 1):
            async with greeted(address) as link:
                link.text(text)
                code, reason = await link.end()
                assert code == Code.BAD_FRAME, f"{text[:60]} {code} {reason}"
                check_reason(reason, word)
            assert await other.call(n, "x", n) == n
        assert app.stats().links == 1
    assert SECRET not in caplog.text + "".join(traced)
    assert all(record.levelno < logging.WARNING for record in caplog.records), "rubbish is no news for an operator"


@on_loop
async def test_bad_hellos() -> None:
    app = make_app()
    async with app.serving() as address:
        for body in BAD_HELLOS:
            async with raw(address) as link:
                link.say("hello", body)
                code, reason = await link.end()
                assert code == Code.BAD_FRAME, f"{body} {code} {reason}"
                check_reason(reason, "" if body and "cursors" in body else "hello")
        assert app.stats().links == 0


@on_loop
async def test_unknown_elements_and_keys_are_ignored() -> None:
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address, raw(address) as link:
        await link.hello(colour="red", heartbeat=None, client={"name": "x", "more": [1]})
        link.say("call", 1, "x", 5, "more", {"even": "more"})
        assert await link.hear() == ["reply", 1, 5]
        link.say("ping", 2, "more")
        assert await link.hear() == ["pong", 2]


@on_loop
async def test_binary_is_not_spoken() -> None:
    app = make_app()
    async with app.serving() as address:
        for hello in (False, True):
            async with raw(address) as link:
                if hello:
                    await link.hello()
                assert link.socket is not None
                link.socket.send_binary(b"x")
                assert await link.end() == (1003, "text messages only")
        await until(lambda: app.stats().links == 0)


@on_loop
async def test_what_is_no_utf_8() -> None:
    app = make_app()
    async with app.serving() as address, greeted(address) as link:
        link.text(b'["call",1,"x","\xff"]')
        assert (await link.end())[0] == 1007


@on_loop
async def test_numbers_that_break_the_rules() -> None:
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address:
        for says in (
            [("call", 2, "x", 1), ("call", 1, "x", 1)],
            [("call", 2, "x", 1), ("call", 2, "x", 1)],
            [("settled", 5), ("settled", 4)],
            [("settled", 5), ("call", 4, "x", 1)],
            [("call", 257, "x", 1)],
            [("call", 2**53 - 1, "x", 1)],
        ):
            async with greeted(address) as link:
                for frame in says:
                    link.say(*frame)
                assert (await link.end())[0] == Code.BAD_FRAME, says


@on_loop
async def test_claims_about_what_was_handled() -> None:
    """`at` for channels not followed means nothing; beyond what was sent it costs who says it, and gives no credit."""
    app = make_app(credit=4)
    app.channel("c")
    async with app.serving() as address, greeted(address) as link:
        link.say("at", "c", 5)
        link.say("at", "nope", 5)
        await link.sub(1, "c")
        for n in range(1, 11):
            await app.publish("c", "e", n)
        assert [(await link.hear("msg"))[2] for _ in range(4)] == [1, 2, 3, 4]
        link.say("at", "c", 9)  # it may have, over a link before this one
        assert (await link.hear("msg"))[2] == 10
        for n in range(11, 21):
            await app.publish("c", "e", n)
        assert [(await link.hear("msg"))[2] for _ in range(3)] == [11, 12, 13]
        await link.hears_nothing()


@pytest.mark.parametrize("seed", range(8))
@on_loop
async def test_mutated_frames_never_break_the_server(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Good frames with bytes changed: each link goes on or is closed with a code of ours, and the server is fine."""
    dice = random.Random(seed)
    app = make_app()
    app.on("x", concurrent=True)(lambda data: data)
    app.channel("c/{x}", publish=True, presence=True)
    good = [
        ["hello", {"instance": "i", "floor": 1, "cursors": [[1, "c/a", ["e", 1]], [0, "@"]]}],
        ["call", 1, "x", {"a": [1, None, "ü"]}],
        ["send", 2, "x", 1],
        ["pub", 3, "c/a", "e", 1],
        ["settled", 2],
        ["sub", 1, "c/b", [None, 0]],
        ["sub", 2, "@who/c/b"],
        ["unsub", 3, "c/b"],
        ["at", "c/a", 1],
        ["ping", 5],
        ["pong", "x"],
        ["login", {"a": 1}],
        ["bye", "x"],
    ]
    codes = set()
    async with app.serving() as address, greeted(address) as other:
        for n in range(1, 41):
            async with raw(address) as link:
                for frame in dice.sample(good, 6):
                    text = bytearray(json.dumps(frame, ensure_ascii=False).encode())
                    for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
                        text[dice.randrange(len(text))] = dice.choice(b'[]{}",:0123456789eE+-.\\ntfu \x00')
                    link.text(bytes(text))
                link.say("ping", "last")
                await hears_the_last(link)
                if link.ended.done():
                    codes.add(link.ended.result()[0])
            assert await other.call(n, "x", n) == n
        await until(lambda: app.stats().links == 1)
        assert hub_of(app).runner.running == 0
    assert codes <= {1007, 4200, 4201, 4203, 4204}, codes
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def hears_the_last(link: Raw) -> None:
    """Everything said has been read, or the link is over."""
    waiting = asyncio.ensure_future(link.frames.get())
    try:
        while not link.ended.done():
            await asyncio.wait_for(asyncio.wait((waiting, link.ended), return_when=asyncio.FIRST_COMPLETED), 10)
            if waiting.done():
                if waiting.result() == ["pong", "last"]:
                    return
                waiting = asyncio.ensure_future(link.frames.get())
    finally:
        waiting.cancel()
