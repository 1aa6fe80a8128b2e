"""One schedule: who is there, what happens to them, and whether everything has come to pass in the end.

Invariant: from `kind_after` on everything wanted comes to pass within GRACE virtual seconds (checked as `progress`).
"""

import traceback
from collections.abc import Iterator
from random import Random
from typing import Any

from heartline.core.enums import State
from heartline.core.frames import INBOX
from heartline.faults.model import FaultModel

from .client import SimClient
from .clock import Naps, Violation, World
from .disk import Disk
from .ledger import Ledger
from .network import Network
from .plan import GRACE, Plan
from .report import Broken, Report
from .server import SimNode
from .store import Store

CHECK_EVERY = 0.5
DEAD_ENDS = frozenset({State.CLOSED, State.REFUSED})


class Schedule:
    """One world and everybody in it."""

    def __init__(self, seed: int, plan: Plan, core: str | None) -> None:
        self.seed = seed
        self.plan = plan
        self.core = core
        self.world: World = World()
        self.ledger: Ledger = Ledger(self.world, plan)
        self.rng = self.stream("events")
        self.store: Store = Store(self.world, plan, self.ledger, self.stream("store"))
        self.net: Network = Network(self.world, FaultModel(plan.network, self.stream("faults")), self.stream("network"))
        self.channels = [f"room/{i}" for i in range(plan.channels)]
        self.nodes: list[SimNode] = []
        self.clients: list[SimClient] = []

    def stream(self, concern: str) -> Random:
        """Randomness of its own for one concern."""
        return Random(f"{self.seed} {self.plan.scenario} {concern}")

    def naps(self, who: str) -> Naps:
        """How badly somebody keeps time."""
        plan = self.plan
        return Naps(self.stream(f"naps {who}"), late=plan.late_chance, early=plan.early_chance, until=plan.kind_after)

    def run(self) -> Report:
        """Until everything has come to pass, or an invariant does not hold."""
        violation = None
        try:
            self._begin()
            self.world.at(self.plan.kind_after, self._kindness)
            while not self._over():
                if not self.world.step():
                    break
        except Violation as error:
            violation = self._broken(error.name, error.message)
        except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.world.note("world", "traceback", *traceback.format_exception(error)[-4:])
            violation = self._broken("no_crash", f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})")
        channels, counts = self.ledger.channels, self.ledger.counts
        counts |= {"entries": channels.entries, "handed over": channels.handed_over, "gaps": channels.gaps}
        counts |= {"links": self.net.links}
        return Report(
            self.seed, self.plan.scenario, self.world.steps, round(self.world.now, 3), dict(sorted(counts.items())),
            self.world.digest, violation,
        )  # fmt: skip

    def _broken(self, name: str, message: str) -> Broken:
        core = f" --broken {self.core}" if self.core else ""
        repeat = f"heartline simulate --seed {self.seed} --scenario {self.plan.scenario}{core}"
        return Broken(name, message, self.world.now, tuple(self.world.trace), repeat)

    # what happens

    def _begin(self) -> None:
        plan = self.plan
        for i in range(plan.nodes):
            name = f"n{i}"
            node = SimNode(
                self.world, name, plan, self.store, self.net, self.ledger, self.stream(name), self.naps(name)
            )
            self.nodes.append(node)
        self.net.nodes = self.store.nodes = self.nodes
        for i in range(plan.clients):
            self._add_client(i, Disk(self.stream(f"disk {i}"), plan.disk_seconds) if plan.durable_client else None)
        for every, act in (
            (plan.send_every, self._say),
            (plan.publish_every, self._publish),
            (plan.crash_every, self._crash),
            (plan.broker_crash_every, self._broker_dies),
            (plan.die_every, self._client_dies),
            (plan.move_every, self._move),
            (plan.revoke_every, self._revoke),
            (plan.stall_every, self._stall),
            (plan.resubscribe_every, self._resubscribe),
            (plan.fuss_every, self._fuss),
            (plan.sleep_every, self._sleep),
            (plan.jump_every, self._jump),
        ):
            if every is not None:
                self._repeat(every, act)
        if plan.copy_at is not None:
            self.world.at(plan.copy_at, self._copy)
        if plan.close_chance:
            for client in self.clients:
                if self.rng.random() < plan.close_chance:
                    self._close_at(client, self.rng.uniform(0.0, plan.kind_after))

    def _add_client(self, index: int, disk: Disk | None, name: str = "") -> None:
        who = name or f"c{index}"
        self.clients.append(
            SimClient(
                self.world, index, self.plan, self.net, self.ledger, self.stream(who), self.naps(who),
                self.channels, disk, who,
            )
        )  # fmt: skip

    def _repeat(self, every: float, act: Any) -> None:
        rng = self.stream(act.__name__)

        def again() -> None:
            if self.world.now < self.plan.kind_after:
                act(rng)
                self.world.after(rng.uniform(0.0, 2 * every), again)

        self.world.after(rng.uniform(0.0, 2 * every), again)

    def _close_at(self, client: SimClient, when: float) -> None:
        end = self.rng.random() < 0.3
        self.world.at(when, lambda: None if client.dead else client.close(end=end))

    def _some_client(self, rng: Random) -> SimClient | None:
        living = [c for c in self.clients if not c.dead and self.world.now >= c.asleep_until]
        return rng.choice(living) if living else None

    def _say(self, rng: Random) -> None:
        client = self._some_client(rng)
        if client is not None and not client.closing:
            for _ in range(rng.randint(1, self.plan.burst)):
                client.say()

    def _publish(self, rng: Random) -> None:
        node = rng.choice(self.nodes)
        if not node.up or self.world.now < node.asleep_until:
            return
        channel = rng.choice(self.channels)
        sessions = list(node.node.sessions.values())
        if sessions and rng.random() < 0.4:
            channel = f"@{rng.choice(sessions).id}"
        for _ in range(rng.choice((1, 1, 3))):
            text = f"e{self.ledger.channels.entries}:{'x' * (3000 if rng.random() < self.plan.big_chance else 5)}"
            node.publish(channel, f'"{text}"'.encode())

    def _crash(self, rng: Random) -> None:
        node = rng.choice(self.nodes)
        if node.up:
            node.die(silently=rng.random() < 0.3)
            self.world.after(rng.uniform(0.01, self.plan.down_for), node.come_back)

    def _broker_dies(self, rng: Random) -> None:
        self.store.die()
        self.world.after(rng.uniform(0.01, 2 * self.plan.down_for), self.store.come_back)

    def _client_dies(self, rng: Random) -> None:
        client = self._some_client(rng)
        if client is not None and not client.closing:
            client.die()
            self.world.after(rng.uniform(0.01, 3.0), lambda: self._client_again(client))

    def _client_again(self, client: SimClient) -> None:
        client.dead = False
        if client.disk is None:
            client.ledger.excuses.pop(client.index, None)
        client.begin()

    def _copy(self) -> None:
        original = self.clients[0]
        if original.disk is not None and not original.dead:
            self.ledger.excuses[0] = "copied"
            self._add_client(0, original.disk.copy(self.stream("disk copy")), "copy")

    def _move(self, rng: Random) -> None:
        node = rng.choice(self.nodes)
        if node.up and self.world.now >= node.asleep_until:
            node.ask_to_move(rng.choice((0.0, 0.5)), rng.choice((0.0, 1.0)))

    def _revoke(self, rng: Random) -> None:
        client = rng.choice(self.clients)
        channel = rng.choice(self.channels)
        for node in self.nodes:
            if (client.index, channel) in node.refused:
                node.refused.discard((client.index, channel))
            elif node.up:
                node.take_away(client.index, channel)

    def _stall(self, rng: Random) -> None:
        client = self._some_client(rng)
        if client is not None:
            until = self.world.now + rng.uniform(0.0, 2 * self.plan.stall_for)
            client.stalled_until = min(until, self.plan.kind_after)

    def _resubscribe(self, rng: Random) -> None:
        client = self._some_client(rng)
        if client is not None and not client.closing:
            channel = rng.choice(self.channels)
            if channel in client.subscribed and rng.random() < 0.5:
                client.unsubscribe(channel)
            else:
                client.subscribe(channel)
            client.run()

    def _fuss(self, rng: Random) -> None:
        client = self._some_client(rng)
        if client is None or client.closing:
            return
        machine, now = client.machine, client.now()
        what = rng.choice(("hint", "retry", "withdraw"))
        client.slept += 0.001  # a hint may put a verdict off by one fresh probe
        if what == "hint":
            machine.hint(now, "fuss")
        elif what == "retry" and machine.state is not State.REFUSED:
            machine.retry_now(now)
        elif len(machine.outbox):
            machine.withdraw(rng.choice([m.n for m in machine.outbox]), now)
        client.run()

    def _sleep(self, rng: Random) -> None:
        actor = rng.choice([*self.nodes, *self.clients])
        actor.sleep(min(rng.choice((0.5, 3.0, 20.0)) * rng.random(), self.plan.kind_after - self.world.now))

    def _jump(self, rng: Random) -> None:
        actor = rng.choice([*self.nodes, *self.clients])
        actor.jump(rng.choice((-2.0, -0.5, 1.0, 30.0)) * rng.random())

    # the end

    def _kindness(self) -> None:
        self.world.note("world", "is kind from now on")
        self.world.after(0.05, self.store.come_back)
        for node in self.nodes:
            node.refused.clear()
            self.world.after(0.1, node.come_back)
        for client in self.clients:
            self.world.after(0.2, lambda client=client: self._come_back(client))  # type: ignore[misc]
        self.world.after(1.0, self._judge)

    def _come_back(self, client: SimClient) -> None:
        if client.closing or client.dead:
            return
        for channel in self.channels:
            if channel not in client.subscribed:
                client.subscribe(channel)
        client.run()

    def _judge(self) -> None:
        late = self.world.now > self.plan.kind_after + GRACE
        missing = self._missing()
        if not missing:
            self._done = True
        elif late:
            raise Violation("progress", f"{GRACE:g} s after the last fault: {'; '.join(missing)}")
        else:
            self.world.after(CHECK_EVERY, self._judge)

    _done = False

    def _over(self) -> bool:
        return self._done

    def _missing(self) -> list[str]:
        missing: list[str] = []
        for client in self.clients:
            if client.dead:
                missing.append(f"{client.name} is not back")
            elif client.machine.state not in DEAD_ENDS:
                missing += self._missing_of(client)
        return missing

    def _missing_of(self, client: SimClient) -> Iterator[str]:
        machine = client.machine
        if machine.state is not State.OPEN:
            yield f"{client.name} is {machine.state.value}"
            return
        if len(machine.outbox):
            yield f"{client.name} has {len(machine.outbox)} unsettled, from {machine.outbox.floor} on"
        for channel in [INBOX, *client.subscribed]:
            log = f"@{machine.session}" if channel == INBOX else channel
            epoch = self.store.broker.head(log)[0]
            behind = self.ledger.channels.behind(client.reader, channel, log, epoch)
            if behind:
                yield f"{client.name} is {behind} behind in {channel} ({epoch})"
        if client.unread:
            yield f"{client.name} has {client.unread} unread"
