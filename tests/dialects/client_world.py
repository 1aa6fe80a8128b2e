"""A client machine, its translator and somebody else's server in virtual time, with a network that loses links."""

import json
from collections import Counter
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from msgspec import UNSET

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.enums import Outcome, State
from heartline.core.outbox import Kind
from heartline.core.policy import BackOff, ClientPolicy
from heartline.dialects import Beat, Dialect, Event, Request, Send, Subscribe
from heartline.dialects.client_desk import Down, Leave, Output, Say, SendPing
from heartline.dialects.client_translator import ClientTranslator
from heartline.dialects.native import NativeClient

STRANGE = Dialect(
    name="strange",
    beat=Beat(say={"op": "ping"}, answer={"op": "pong"}, interval=5, timeout=2),
    send=Send(
        say={"op": "do", "d": "$data", "id": "$id"}, ok={"ack": "$id"}, no={"nack": "$id", "code": "$code"}, within=20
    ),
    request=Request(
        say={"op": "ask", "d": "$data", "id": "$id"},
        ok={"re": "$id", "d": "$reply"},
        no={"err": "$id", "code": "$code"},
    ),
    subscribe=Subscribe(
        say={"op": "sub", "ch": "$channel"}, ok={"subbed": "$channel"}, items={"ch": "$channel", "item": "$data"}
    ),
    events=(Event({"news": "$data"}, "news"),),
)
RUBBISH = ("", "null", "[", '{"re":999999,"d":1}', '{"ack":999998}', "\ufffd", '{"op":"pong","x":[]}', "[" * 5000)


class World:
    """`run_until(t)` lets time pass. The network loses links until `kind_from`, then it is perfect."""

    def __init__(
        self, seed: int, dialect: Dialect = STRANGE, *, kind_from: float = 300.0, confirms: bool = True
    ) -> None:
        self.dice = Random(seed)
        self.now = 0.0
        self.kind_from = kind_from
        self.confirms = confirms
        self.executed: Counter[int] = Counter()
        self.firsts: list[int] = []
        self.outcomes: dict[int, Outcome] = {}
        self.again: set[int] = set()
        self.items: list[tuple[int, Any] | str] = []
        self.news: list[Any] = []
        self.links = 0
        self.state_of: dict[int, str] = {}
        self.following: dict[int, bool] = {}
        self._published = count(1)
        self._events: list[tuple[float, int, Any]] = []
        self._order = count()
        policy = ClientPolicy(back_off=BackOff(0.25, 4.0, 10.0, 0.5))
        self.machine = ClientMachine(policy, NativeClient(), Random(seed + 1), "me")
        self.translator = ClientTranslator(dialect, self, "e")
        self.link = 0
        self.machine.subscribe("c", 0.0)
        self.machine.connect(0.0)
        self._carry()

    # notes

    def message(self, n: int) -> tuple[bool, str]:
        message = self.machine.outbox.get(n)
        return (message is not None and message.idempotent), ""

    def args(self, channel: str) -> Any:
        return UNSET

    # the application

    def say(self, kind: Kind, number: int) -> None:
        again = self.dice.random() < 0.5
        n = self.machine.send(kind, "e", b"%d" % number, self.now, idempotent=again)
        assert n == number
        if again:
            self.again.add(n)
        self._carry()

    # the shell

    def _carry(self) -> None:
        for _ in range(1000):
            effects = self.machine.drain()
            if not effects:
                return
            for effect in effects:
                self._do(effect)
        raise AssertionError("this never ends")

    def _do(self, effect: do.Effect) -> None:
        match effect:
            case do.Dial():
                self._dial(effect.attempt)
            case do.Transmit():
                if self.state_of.get(effect.attempt) in {"open", "frozen"}:
                    self.link = effect.attempt
                    self.translator.up(effect.payload, self.now)
                    self._flush(effect.attempt, proof=False)
            case do.Drop():
                self._gone(effect.attempt)
            case do.Settle():
                assert effect.message.n not in self.outcomes, "two outcomes"
                unknown = b'"code":"unknown"' in effect.body
                self.outcomes[effect.message.n] = Outcome.UNKNOWN if unknown else effect.outcome
            case do.Arrived(do.Entry() as entry):
                if entry.channel == "c":
                    self.items.append((entry.offset, json.loads(bytes(entry.data))))
                else:
                    self.news.append(json.loads(bytes(entry.data)))
                self.machine.handled(entry.channel, entry.epoch, entry.offset, 1, self.now)
            case do.Arrived(do.Lost() as lost):
                if lost.channel == "c":
                    self.items.append("gap")
                self.machine.handled(lost.channel, lost.epoch, lost.to, 1, self.now)

    def _flush(self, attempt: int, *, proof: bool) -> None:
        while outputs := self.translator.drain():
            for output in outputs:
                self._output(attempt, output, proof)

    def _output(self, attempt: int, output: Output, proof: bool) -> None:
        match output:
            case Down():
                self.machine.received(attempt, output.data, self.now, proof=proof)
            case Say():
                self._travel(attempt, "up", output.data)
            case SendPing():
                self._travel(attempt, "ping", output.payload)
            case Leave():
                self._gone(attempt)
                self.machine.lost(attempt, 4000, output.reason, self.now)

    # the network

    def _at(self, delay: float, what: Any) -> None:
        heappush(self._events, (self.now + delay, next(self._order), what))

    def _dial(self, attempt: int) -> None:
        bad = self.now < self.kind_from
        fate = self.dice.choices(("opens", "fails", "hangs"), (8, 1, 1))[0] if bad else "opens"
        self.state_of[attempt] = "dialling"
        if fate != "hangs":
            self._at(0.05, (fate, attempt))

    def _opens(self, attempt: int) -> None:
        if self.state_of.get(attempt) != "dialling":
            return
        self.links += 1
        self.state_of[attempt] = "open"
        if self.now < self.kind_from:
            self._at(self.dice.expovariate(1 / 8), (self.dice.choice(("cut", "freeze")), attempt))
        self.machine.opened(attempt, self.now)

    def _gone(self, attempt: int) -> None:
        self.state_of[attempt] = "gone"
        if attempt == self.link:
            self.translator.lost()

    def _travel(self, attempt: int, way: str, data: bytes) -> None:
        if self.state_of.get(attempt) == "open":
            self._at(0.02, (way, attempt, data))

    # the server

    def _serve(self, attempt: int, data: bytes) -> None:
        message = json.loads(data)
        op, number = message["op"], message.get("id")
        if op == "ping":
            self._answer(attempt, {"op": "pong"})
        elif op == "sub":
            self.following[attempt] = True
            self._answer(attempt, {"subbed": message["ch"]})
        else:
            n = message["d"]
            self.executed[n] += 1
            if self.executed[n] == 1:
                self.firsts.append(n)
            late = self.dice.random() * 3
            refused = n % 17 == 0
            if op == "ask":
                said = {"err": number, "code": 3} if refused else {"re": number, "d": n}
                self._at(late, ("down", attempt, json.dumps(said).encode()))
            elif self.confirms:
                said = {"nack": number, "code": "no"} if refused else {"ack": number}
                self._at(late, ("down", attempt, json.dumps(said).encode()))

    def _answer(self, attempt: int, value: Any) -> None:
        self._travel(attempt, "down", json.dumps(value).encode())

    def publish(self) -> None:
        """The server says something to every link it believes in, and some rubbish."""
        n = next(self._published)
        for attempt in self.following:
            self._answer(attempt, {"ch": "c", "item": n})
            self._answer(attempt, {"news": n})
            self._travel(attempt, "down", self.dice.choice(RUBBISH).encode())

    # time

    def run_until(self, end: float) -> None:
        for _ in range(200_000):
            times = [self.machine.next_deadline(), self.translator.next_deadline()]
            if self._events:
                times.append(self._events[0][0])
            at = min((time for time in times if time is not None), default=end)
            if at > end:
                break
            self.now = max(self.now, at)
            if self._events and self._events[0][0] <= self.now:
                self._happen(heappop(self._events)[2])
            else:
                self.translator.tick(self.now)
                if self.state_of.get(self.link) in {"open", "frozen"}:
                    self._flush(self.link, proof=False)
                self.machine.tick(self.now)
            self._carry()
        else:
            raise AssertionError("time does not pass")
        self.now = end

    def _happen(self, what: Any) -> None:
        kind, attempt, *rest = what
        alive = self.state_of.get(attempt) == "open"
        if kind == "opens":
            self._opens(attempt)
        elif kind == "fails" and self.state_of.get(attempt) == "dialling":
            self.state_of[attempt] = "gone"
            self.machine.failed(attempt, self.now, "no")
        elif kind == "freeze" and alive:
            self.state_of[attempt] = "frozen"
        elif kind == "cut" and alive:
            self._gone(attempt)
            self.machine.lost(attempt, 1006, "", self.now)
        elif kind == "up" and alive:
            self._serve(attempt, rest[0])
        elif kind == "ping" and alive:
            self._travel(attempt, "pong", rest[0])
        elif kind in {"down", "pong"} and alive and self.machine.state in {State.OPEN, State.GREETING}:
            self.machine.alive(attempt, self.now)
            if kind == "down":
                self.translator.heard(rest[0], self.now)
            else:
                self.translator.pong(rest[0], self.now)
            self._flush(attempt, proof=True)
