"""Long random conversations of foreign clients with a real node: every message ends once, in order, whatever happens."""

import random
from typing import Any

import pytest

from heartline.core.policy import ServerLimits
from heartline.core.server.verdicts import Accepted
from tests.core.server.world import World

from .foreign import PING, Foreigner


class Talk:
    """One conversation: what was said, how it ended, what the client heard."""

    def __init__(self, seed: int, dialect: str) -> None:
        self.random = random.Random(seed)
        self.world = World(limits=ServerLimits(rate=None, credit=4))
        self.world.verdict = lambda _login: Accepted("ann")
        self.dialect = dialect
        self.peer = Foreigner(
            self.world,
            dialect,
            judged=self.random.random() < 0.5,
            window=self.random.choice((1, 3, 256)),
            channel=(lambda args: f"{args['channel']}") if dialect == "okx" else None,
        )
        self.expected: list[Any] = []
        self.said = 0
        self.started = 0
        self.published = 0
        self.subscribed = False
        if dialect == "community":
            self.peer.tell({"Operator": "userLogin"})
        elif self.peer.translator._awaits_login:
            self.peer.tell({"op": "login", "args": [{"apiKey": "k"}]})
        self.heard: list[Any] = []
        self.peer.words.clear()

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.4:
            self.peer.tell(*[self.message() for _ in range(self.random.randint(1, 8))])
        elif choice < 0.75:
            self.finish()
        elif choice < 0.8:
            self.peer.stuck = not self.peer.stuck
            self.peer.translator.blocked = self.peer.stuck
            self.peer.look()
        elif choice < 0.85:
            self.peer.tell(self.random.choice(["rubbish", "null", "[]", '{"Operator":5}', b"\xff"]))
        elif choice < 0.9 and self.dialect == "okx":
            self.peer.tell({"id": "s", "op": "subscribe", "args": [{"channel": "c"}]})
            self.subscribed = True
        elif self.subscribed:
            self.published += 1
            self.world.publish("c", self.published)
            self.peer.look()

    def message(self) -> Any:
        self.said += 1
        if self.dialect == "echo":
            return {"ModeCode": "message", "msg": self.said}
        if self.dialect == "community":
            return {"Operator": "Get", "n": self.said}
        return {"id": str(self.said), "op": "x", "args": self.said}

    def finish(self) -> None:
        """End a message that runs, one way or another."""
        running = sorted(self.world.running)
        if not running:
            return
        n = self.random.choice(running)
        good = self.random.random() < 0.8
        self.started += 1
        told = self.started
        if self.dialect == "echo":
            self.world.finish(n, **({} if good else {"fail": "bad"}))
            if good:
                self.expected.append({"ModeCode": "message", "msg": told})
        elif self.dialect == "community":
            self.world.finish(n, **({"reply": {"n": told}} if good else {"fail": "bad"}))
            self.expected.append(
                {"Operator": "GetOK", "n": told} if good else {"Operator": "GetError", "code": "bad", "msg": ""}
            )
        else:
            self.world.finish(n, **({"reply": told} if good else {"fail": "bad"}))
            refusal = {"code": "bad", "msg": "", "data": {"code": "bad", "message": ""}}
            self.expected.append({"id": str(told)} | ({"op": "x", "code": "0", "data": told} if good else refusal))
        self.peer.look()

    def end(self) -> None:
        """Let everything end, and compare."""
        self.peer.stuck = False
        self.peer.look()
        while self.world.running:
            self.finish()
            self.peer.look()
        words = [one for one in self.peer.words if one != PING]
        assert [one for one in words if not self._about_channel(one)] == self.expected
        assert self.started == self.said
        assert self.peer.translator.is_idle
        assert self.peer.closed is None
        assert self.peer.complaints == []
        entries = [one["data"] for one in words if isinstance(one, dict) and "arg" in one and "data" in one]
        assert entries == sorted(set(entries))
        if self.subscribed:
            assert entries[-1:] == ([self.published] if self.published else [])

    @staticmethod
    def _about_channel(words: Any) -> bool:
        return isinstance(words, dict) and "arg" in words


@pytest.mark.parametrize("dialect", ["echo", "community", "okx"])
@pytest.mark.parametrize("seed", range(15))
def test_every_message_ends_once_and_in_order(dialect: str, seed: int) -> None:
    talk = Talk(seed, dialect)
    for _ in range(400):
        talk.step()
    talk.end()


@pytest.mark.parametrize("dialect", ["echo", "community", "okx"])
@pytest.mark.parametrize("seed", range(15))
def test_a_link_lost_at_any_moment_leaves_nothing(dialect: str, seed: int) -> None:
    talk = Talk(1000 + seed, dialect)
    for _ in range(talk.random.randint(1, 200)):
        talk.step()
    talk.peer.lose()
    world = talk.world
    while world.running:
        world.finish(talk.random.choice(sorted(world.running)))
    assert (world.node.sessions, world.node.links, world.node.tails, world.node._parting) == ({}, {}, {}, {})
