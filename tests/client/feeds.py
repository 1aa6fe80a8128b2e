"""Foreign servers that keep their documented rules, time-outs included; made with the `websockets` package.

Each remembers every link and all that was said on it. Times are scaled down by `quick`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import heartline
from heartline.dialects import Dialect, Reconnect, presets
from heartline.faults import FaultProxy

from .world import until

PATIENCE = 10.0


def quick(name: str | Dialect, interval: float = 0.1, timeout: float = 5.0, **reconnect: Any) -> Dialect:
    """A preset whose times are short: beats come often, and verdicts only where `timeout` is short as well."""
    dialect = presets.load(name) if isinstance(name, str) else name
    assert dialect.beat is not None
    beat = msgspec.structs.replace(dialect.beat, interval=interval, timeout=timeout)
    again = Reconnect(**{"delay": 0.01, "cap": 0.05, "stable": 60.0, **reconnect})
    return msgspec.structs.replace(dialect, beat=beat, reconnect=again)


class Peer:
    """One link, as its server sees it."""

    def __init__(self, ws: ServerConnection, number: int) -> None:
        self.ws = ws
        self.number = number
        self.heard: list[Any] = []

    async def say(self, message: Any) -> None:
        """Text and bytes as they are, everything else as JSON."""
        await self.ws.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def drop(self) -> None:
        """End the connection without a word."""
        self.ws.transport.abort()

    def without(self, *beats: Any) -> list[Any]:
        """What was heard but the beats."""
        return [message for message in self.heard if message not in beats]


class Feed:
    """A server of one kind: `take` gets each message."""

    patience: float | None = None
    """seconds of silence after which a client is put out"""
    code = 4004

    def __init__(self) -> None:
        self.links: list[Peer] = []
        self.closed: list[tuple[int, int]] = []
        self.url = ""
        self.server: Server | None = None
        self.greet: Callable[[Peer], Any] | None = None

    @property
    def last(self) -> Peer:
        return self.links[-1]

    @property
    def everything(self) -> list[Any]:
        return [message for peer in self.links for message in peer.heard]

    async def take(self, peer: Peer, message: Any) -> None:
        """Answer, or not."""

    async def talk(self, ws: ServerConnection) -> None:
        peer = Peer(ws, len(self.links))
        self.links.append(peer)
        try:
            if self.greet is not None:
                await self.greet(peer)
            while True:
                async with asyncio.timeout(self.patience):
                    data = await ws.recv()
                message = _value(data)
                peer.heard.append(message)
                await self.take(peer, message)
        except TimeoutError:
            await ws.close(self.code, "no data received in time")
        except ConnectionClosed:
            pass
        finally:
            self.closed.append((peer.number, ws.close_code or 1006))

    @asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator["Feed"]:
        async with serve(self.talk, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2, **options) as self.server:
            host, port = next(iter(self.server.sockets)).getsockname()[:2]
            self.url = f"ws://{host}:{port}/"
            self.address = (host, port)
            yield self
            for peer in self.links:
                peer.drop()

    @asynccontextmanager
    async def through_faults(self) -> AsyncIterator[FaultProxy]:
        """Serve behind a proxy that can do everything wrong; `url` leads through it."""
        async with self.serving(), FaultProxy(self.address) as proxy:
            self.url = proxy.url("ws")
            yield proxy

    def connect(self, dialect: Dialect | str, path: str = "", **options: Any) -> heartline.Connection:
        return heartline.connect(self.url + path, **{"dialect": dialect, "linger": 0.0, **options})

    async def until_links(self, count: int) -> None:
        await until(lambda: len(self.links) >= count)


def _value(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


class Heart(Feed):
    """Text ping, text pong; who does not ping is put out."""

    pongs = True

    async def take(self, peer: Peer, message: Any) -> None:
        if message == "ping" and self.pongs:
            await peer.say("pong")


class Echo(Feed):
    """Echoes both kinds of its messages, and nothing else."""

    echoes = True
    delay = 0.0

    async def take(self, peer: Peer, message: Any) -> None:
        if self.echoes and isinstance(message, dict) and message.get("ModeCode") in {"message", "heart_beat"}:
            await asyncio.sleep(self.delay)
            await peer.say(message)


class Card(Feed):
    """Acknowledges known identities and keeps bindings; answers no beat."""

    BEAT = {"type": "heartBeat", "msg": "this is heatbeat"}  # noqa: RUF012  # never changed

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[int, Any] = {}

    async def take(self, peer: Peer, message: Any) -> None:
        if isinstance(message, dict) and "userId" in message:
            known = message["userId"] == "u1"
            await peer.say({"code": 200 if known else "403", "success": known, "msgType": "auth_ack", "msg": "?"})
        elif isinstance(message, dict) and message.get("type") == "bindCard":
            self.bound[message["cardId"]] = message


class Trades(Feed):
    """Pushes positions to whoever subscribed; answers no beat."""

    drops = False
    positions = {"Code": 200, "data": [{"id": 1}]}  # noqa: RUF012  # never changed

    async def take(self, peer: Peer, message: Any) -> None:
        if isinstance(message, dict) and message.get("type") == "sub":
            await peer.say(self.positions)


class Community(Feed):
    """Logins, then operators; answers come in the order that `answers_to` gives."""

    BEAT = {"Operator": "Heart"}  # noqa: RUF012  # never changed
    verdict: str = "LoginOK"

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.logged_in: set[int] = set()

    async def take(self, peer: Peer, message: Any) -> None:
        operator = message["Operator"]
        if operator == "Heart":
            await peer.say({"Operator": "HeartOK"})
        elif operator == "userLogin":
            self.logged_in.add(peer.number)
            await peer.say({"Operator": self.verdict, "openId": "o1"})
        elif peer.number not in self.logged_in:
            await peer.ws.close(4001, "not logged in")
        elif not self.silent:
            await peer.say({"Operator": f"{operator}OK", "data": message.get("id"), "serverTime": 1})


class Okx(Feed):
    """Operations of v5: closes after `patience` without a message, wants a login for private channels."""

    patience = 1.0
    code = 4004

    def __init__(self) -> None:
        super().__init__()
        self.subscribed: dict[int, list[Any]] = {}
        self.logins = 0

    async def take(self, peer: Peer, message: Any) -> None:
        if message == "ping":
            await peer.say("pong")
            return
        op, args = message["op"], message["args"]
        if op == "login":
            good = args[0].get("apiKey") == "k"
            self.logins += good
            ok = {"event": "login", "code": "0", "msg": "", "connId": "a"}
            await peer.say(ok if good else {"event": "error", "code": "60009", "msg": "Login failed.", "connId": "a"})
        elif op in {"subscribe", "unsubscribe"}:
            (arg,) = args
            if arg["channel"] == "nonsense":
                await peer.say({"id": message["id"], "event": "error", "code": "60018", "msg": "no such channel"})
                return
            here = self.subscribed.setdefault(peer.number, [])
            here.append(arg) if op == "subscribe" else here.remove(arg)
            await peer.say({"id": message["id"], "event": op, "arg": arg, "connId": "a"})
        elif op == "order":
            row = {"ordId": args[0]["sz"], "sCode": "0"}
            await peer.say({"id": message["id"], "op": op, "code": "0", "msg": "", "data": [row]})
        else:
            await peer.say({"id": message.get("id"), "event": "error", "code": "60012", "msg": "Illegal request"})

    async def push(self, arg: dict[str, Any], data: Any) -> None:
        for number, args in self.subscribed.items():
            if arg in args and self.links[number].ws.close_code is None:
                await self.links[number].say({"arg": arg, "data": data})


class Phoenix(Feed):
    """Serializer 2.0.0: joins, pushes with replies, heartbeats that have to come."""

    patience = 1.0
    code = 1000

    def __init__(self) -> None:
        super().__init__()
        self.joined: dict[int, dict[str, str]] = {}

    async def take(self, peer: Peer, message: Any) -> None:
        join_ref, ref, topic, event, payload = message
        here = self.joined.setdefault(peer.number, {})
        if (topic, event) == ("phoenix", "heartbeat"):
            await self.reply(peer, None, ref, topic, "ok", {})
        elif event == "phx_join" and topic == "room:secret":
            await self.reply(peer, ref, ref, topic, "error", {"reason": "unauthorized"})
        elif event == "phx_join":
            here[topic] = join_ref
            await self.reply(peer, join_ref, ref, topic, "ok", {"users": len(here)})
        elif topic not in here or here[topic] != join_ref:
            await self.reply(peer, None, ref, topic, "error", {"reason": "unmatched topic"})
        elif event == "phx_leave":
            del here[topic]
            await self.reply(peer, join_ref, ref, topic, "ok", {})
            await peer.say([join_ref, join_ref, topic, "phx_close", {}])
        elif event == "shout":
            await self.push(topic, "shouted", payload)
        else:
            await self.reply(peer, join_ref, ref, topic, "ok", {"you": payload})

    async def reply(self, peer: Peer, join: Any, ref: Any, topic: str, status: str, response: Any) -> None:
        await peer.say([join, ref, topic, "phx_reply", {"status": status, "response": response}])

    async def push(self, topic: str, event: str, payload: Any) -> None:
        for number, topics in self.joined.items():
            if topic in topics and self.links[number].ws.close_code is None:
                await self.links[number].say([topics[topic], None, topic, event, payload])
