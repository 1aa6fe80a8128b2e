"""Prints, as JSON, what wrong arguments of public calls lead to; to be run in both variants (`test_variants.py`)."""

import asyncio
import json
from fractions import Fraction
from typing import Any

import heartline
from heartline.client import connect
from heartline.transports.plain import SocketLimits

NAMES: dict[str, Any] = {
    "heartline": heartline,
    "connect": connect,
    "Fraction": Fraction,
    "SocketLimits": SocketLimits,
    "NOWHERE": heartline.Cursor(5, "x"),  # type: ignore[arg-type]
}

# What is called, and the word that has to be in the error.
CALLS = {
    # a connection
    "conn.request(7)": "event",
    "conn.request([])": "event",
    "conn.request(None)": "event",
    "conn.request('')": "event",
    "conn.request('echo', object())": "data",
    "conn.request('echo', timeout='1')": "timeout",
    "conn.request('echo', timeout=Fraction(1, 2))": "timeout",
    "conn.request('echo', timeout=0)": "timeout",
    "conn.request('echo', type=5)": "type",
    "conn.request('echo', delivery='twice')": "delivery",
    "conn.request('echo', channel=5)": "channel",
    "conn.send(7)": "event",
    "conn.send(b'echo')": "event",
    "conn.send('echo', expires=Fraction(1, 2))": "expires",
    "conn.send('echo', expires='1')": "expires",
    "conn.send('echo', marks=5)": "marks",
    "conn.send_nowait(7)": "event",
    "conn.publish(7)": "channel",
    "conn.publish(None)": "channel",
    "conn.publish('news', event=7)": "event",
    "conn.publish_nowait('@', 1)": "channel",
    "conn.mark(5)": "marks",
    "conn.subscribe(7)": "channel",
    "conn.subscribe([])": "channel",
    "conn.subscribe('news', since='later')": "since",
    "conn.subscribe('news', since=1.5)": "since",
    "conn.subscribe('news', since=-1)": "since",
    "conn.subscribe('news', since=NOWHERE)": "since",
    "conn.subscribe('news', type=5)": "type",
    "conn.subscribe('news', callback=5)": "callback",
    "conn.on(7, print)": "event",
    "conn.on('news', 7)": "handler",
    "conn.once([], print)": "event",
    "conn.on_gap(7)": "handler",
    "conn.on_state(7)": "callback",
    # a server that serves
    "app.publish(7, 'line')": "channel",
    "app.publish([], 'line')": "channel",
    "app.publish(None, 'line')": "channel",
    "app.publish('elsewhere', 'line')": "elsewhere",
    "app.publish('news', 7)": "event",
    "app.publish('news', None)": "event",
    "app.publish('news', 'line', object())": "object",
    "app.publish('news', 'line', key=7)": "key",
    "app.publish_now(7, 'line')": "channel",
    "app.publish_now('news', 7)": "event",
    "app.publish_now('news', '@line')": "event",
    "app.presence(7)": "channel",
    "app.presence([])": "channel",
    "app.sessions(7)": "identity",
    "session.send(7)": "event",
    "session.send(None, 1)": "event",
    "session.send('line', object())": "object",
    "session.send_now(7)": "event",
    "session.revoke(7)": "channel",
    "session.revoke('news', 7)": "message",
    "session.close(7)": "reason",
    # declaring
    "app.on(7)": "event",
    "app.on('new', concurrent=1)(print)": "concurrent",
    "app.on('new', on_crash='maybe')(print)": "on_crash",
    "app.on('new')(7)": "function",
    "app.login(7)": "login",
    "app.channel(7)": "pattern",
    "app.channel('new', history=1.5)": "history",
    "app.channel('new', history_bytes='1')": "history_bytes",
    "app.channel('new', ttl=Fraction(1, 2))": "ttl",
    "app.channel('new', ttl='1')": "ttl",
    "app.channel('new', presence=1)": "presence",
    "app.channel('new', publish='yes')": "publish",
    "app.speak(7, 'plain')": "path",
    "app.speak('/new', 7)": "dialect",
    "app.speak('/new', 'plain', channel=7)": "channel",
    "app.mount(7)": "other",
    "app.page(7)": "path",
    "heartline.Server(path=7)": "path",
    "heartline.Server(limits='few')": "limits",
    "heartline.Server(heartbeat=25)": "heartbeat",
    "heartline.Server(anonymous=1)": "anonymous",
    "heartline.Server(presence_grace='15')": "presence_grace",
    "heartline.Server(presence_grace=Fraction(1, 2))": "presence_grace",
    "heartline.Server(presence_grace=-1)": "presence_grace",
    "heartline.Server(origins=[7])": "origins",
    "heartline.Server(trace=7)": "trace",
    "heartline.Identity(7)": "name",
    "heartline.Identity('ada', expires_in='1')": "expires_in",
    "heartline.Identity('ada', expires_in=Fraction(1, 2))": "expires_in",
    "heartline.Refuse(7)": "code",
    "heartline.Refuse('busy', retry='1')": "retry",
    "heartline.Refuse('busy', retry=Fraction(1, 2))": "retry",
    # options
    "heartline.ServerLimits(message=1e6)": "message",
    "heartline.ServerLimits(rate='1')": "rate",
    "heartline.OutboxLimits(messages=1.5)": "messages",
    "heartline.ClientPolicy(heartbeat=25)": "heartbeat",
    "heartline.ClientPolicy(back_off=1.0)": "back_off",
    "heartline.ClientPolicy(outbox=100)": "outbox",
    "heartline.ClientPolicy(max_attempts=1.5)": "max_attempts",
    "heartline.Heartbeat(interval='25')": "interval",
    "heartline.BackOff(base=Fraction(1, 2))": "base",
    "SocketLimits(max_message='1')": "max_message",
    "SocketLimits(max_message=1.5)": "max_message",
    "SocketLimits(write_high=1e6)": "write_high",
    "SocketLimits(handshake_timeout='1')": "handshake_timeout",
    "connect(7)": "url",
    "connect(URL, policy=7)": "policy",
    "connect(URL, outbox=7)": "outbox",
    "connect(URL, limits=7)": "limits",
    "connect(URL, name=7)": "name",
    "connect(URL, version=7)": "version",
    "connect(URL, linger='5')": "linger",
    "connect(URL, trace=7)": "trace",
    "connect(URL, headers=7)": "headers",
    "connect(URL, headers={'a': 7})": "headers",
    "connect(URL, dialect=7)": "dialect",
    "connect(URL, on={7: print})": "event",
}


async def told() -> dict[str, str]:
    """Each call, and what it raised."""
    app = heartline.Server()
    app.channel("news", publish=True)

    @app.on("echo")
    async def echo(session: heartline.Session, text: Any) -> Any:
        return text

    async with app.serving(port=0) as address, connect(address.url) as conn:
        assert await conn.request("echo", 1) == 1
        names = {"conn": conn, "app": app, "session": app.sessions()[0], "URL": address.url, **NAMES}
        found = {call: await outcome(call, names) for call in CALLS}
        assert await conn.request("echo", 2) == 2  # nothing broke
        assert conn.pending == 0
    return found


async def outcome(call: str, names: dict[str, Any]) -> str:
    """What one call raised."""
    try:
        result = eval(call, names)
        if hasattr(result, "__await__"):
            result = await result
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        return f"{type(error).__name__}: {error}"
    return f"nothing, it returned {result!r}"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(told())))
