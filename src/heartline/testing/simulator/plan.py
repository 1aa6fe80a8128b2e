"""What a schedule is made of: a frozen plan drawn from a seed, by the name of a scenario.

Invariant: the same seed and scenario give the same plan in every process (test_same_seed_same_plan).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from heartline.core.policy import BackOff, ClientPolicy, Full, Heartbeat, OutboxLimits, ServerLimits
from heartline.core.ports import History
from heartline.faults.rules import Direction, FaultRules

AMPLE: Final = History(100_000, None, 64 << 20)
GRACE: Final = 150.0
"""Seconds of kindness within which everything wanted must have come to pass."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before a schedule begins. Times in seconds, `…_every` are means, chances are shares."""

    scenario: str = "calm"
    kind_after: float = 30.0
    network: FaultRules = field(default_factory=FaultRules)
    clients: int = 1
    channels: int = 1
    nodes: int = 1
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(4.0, 2.0))
    limits: ServerLimits = field(default_factory=lambda: ServerLimits(rate=None))
    policy: ClientPolicy = field(default_factory=ClientPolicy)
    # what the application does
    send_every: float | None = 1.0
    publish_every: float | None = 1.5
    burst: int = 1
    size: int = 40
    big_chance: float = 0.0
    expiry_chance: float = 0.0
    idempotent_chance: float = 0.0
    fail_chance: float = 0.0
    handler_seconds: float = 0.0
    consumer_seconds: float = 0.0
    stall_every: float | None = None
    stall_for: float = 8.0
    resubscribe_every: float | None = None
    fuss_every: float | None = None
    """hints, withdrawals, impatience"""
    close_chance: float = 0.0
    # the server's side
    durable_broker: bool = False
    broker_seconds: float = 0.0
    save_seconds: float = 0.0
    commit_seconds: float = 0.0
    """how long a transaction of a durable broker stays open at most"""
    broker_crash_every: float | None = None
    """the broker dies and its nodes live"""
    turn_seconds: float = 0.0
    history: History = AMPLE
    inbox: History = AMPLE
    holes: bool = False
    crash_every: float | None = None
    down_for: float = 1.0
    move_every: float | None = None
    revoke_every: float | None = None
    login_seconds: float = 0.0
    refuse_chance: float = 0.0
    refuse_for_good: bool = False
    expires_in: float | None = None
    renew_chance: float = 1.0
    greet_and_drop: bool = False
    """until `kind_after` the server closes every link right after its welcome"""
    # the client's side
    durable_client: bool = False
    disk_seconds: float = 0.0
    die_every: float | None = None
    copy_at: float | None = None
    # time
    late_chance: float = 0.0
    early_chance: float = 0.0
    sleep_every: float | None = None
    jump_every: float | None = None

    @property
    def ample(self) -> bool:
        """Whether no history is ever trimmed, so that no gap may name `history`."""
        return self.history is AMPLE and self.inbox is AMPLE


def draw(seed: int, scenario: str | None = None) -> Plan:
    """The plan of `seed`. Raises ValueError for a scenario there is not."""
    name = scenario or "mix"
    if name not in SCENARIOS:
        raise ValueError(f"scenario must be one of {', '.join(sorted(SCENARIOS))}, not {name!r}")
    rng = Random(f"plan {name} {seed}")
    return replace(SCENARIOS[name](rng, _base(rng)), scenario=name)


def _base(rng: Random) -> Plan:
    """A small world where nothing goes wrong."""
    kind_after = rng.uniform(10.0, 30.0)
    return Plan(
        kind_after=kind_after,
        network=FaultRules(
            latency=rng.choice((0.0, 0.005, 0.05)), jitter=rng.choice((0.0, 0.03)), kind_after=kind_after
        ),
        clients=rng.choice((1, 1, 2)),
        channels=rng.choice((1, 2)),
        heartbeat=rng.choice((Heartbeat(4.0, 2.0), Heartbeat(2.0, 3.0), Heartbeat(1.0, 1.0))),
        policy=_policy(rng),
        send_every=rng.choice((0.3, 1.0, 3.0)),
        publish_every=rng.choice((0.4, 1.5)),
        burst=rng.choice((1, 1, 4, 12)),
        handler_seconds=rng.choice((0.0, 0.1, 0.8)),
        consumer_seconds=rng.choice((0.0, 0.05)),
        fail_chance=rng.choice((0.0, 0.15)),
        turn_seconds=rng.choice((0.0, 0.0, 0.01)),
        idempotent_chance=rng.choice((0.0, 0.3)),
    )


def _policy(rng: Random, outbox: OutboxLimits | None = None) -> ClientPolicy:
    wish = rng.choice((None, None, Heartbeat(5.0, 2.0)))
    return ClientPolicy(
        heartbeat=wish,
        back_off=BackOff(base=0.25, cap=rng.choice((1.0, 4.0)), stable=10.0),
        outbox=outbox or OutboxLimits(),
        connect_timeout=3.0,
        hello_timeout=4.0,
    )


def _network(plan: Plan, **more: Any) -> Plan:
    return replace(plan, network=replace(plan.network, **more))


def _cuts(rng: Random, plan: Plan) -> Plan:
    return _network(plan, cut_every=rng.choice((0.4, 2.0, 6.0)), cut_loses_data=rng.random() < 0.7)


def _half_open(rng: Random, plan: Plan) -> Plan:
    return _network(plan,
        freeze_every=rng.choice((3.0, 8.0)),
        freeze_for=rng.choice((1.0, 6.0, 20.0, float("inf"))),
        freeze_direction=rng.choice((None, Direction.UP, Direction.DOWN, Direction.UP, Direction.DOWN)),
        freeze_kills=rng.random() < 0.3,
        cut_every=rng.choice((None, None, 10.0)),
    )  # fmt: skip


def _bad_dials(rng: Random, plan: Plan) -> Plan:
    return _network(_cuts(rng, plan),
        refuse_chance=rng.choice((0.2, 0.6)), hang_chance=rng.choice((0.0, 0.3)),
        refuse_every=rng.choice((None, 6.0)), refuse_for=4.0,
    )  # fmt: skip


def _restart_memory(rng: Random, plan: Plan) -> Plan:
    plan = _cuts(rng, plan) if rng.random() < 0.5 else plan
    return replace(plan, crash_every=rng.choice((4.0, 9.0)), down_for=rng.choice((0.05, 1.0, 4.0)))


def _slow_broker(rng: Random, plan: Plan) -> Plan:
    return replace(
        plan,
        broker_seconds=rng.choice((0.0, 0.02, 0.2)),
        save_seconds=rng.choice((0.0, 0.02, 0.3)),
    )


def _restart_durable(rng: Random, plan: Plan) -> Plan:
    return replace(_restart_memory(rng, _slow_broker(rng, plan)), durable_broker=True)


def _client_crash(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _restart_durable, _restart_memory, _calm))(rng, plan)
    return replace(
        plan,
        durable_client=rng.random() < 0.8,
        disk_seconds=rng.choice((0.0, 0.005, 0.2)),
        die_every=rng.choice((3.0, 8.0)),
    )


def _copies(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _restart_durable, _calm))(rng, plan)
    return replace(plan, clients=1, durable_client=True, copy_at=rng.uniform(2.0, 0.8 * plan.kind_after))


def _consumers(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _slow_broker, _calm))(rng, plan)
    return replace(
        plan,
        publish_every=rng.choice((0.1, 0.3)),
        consumer_seconds=rng.choice((0.0, 0.2, 0.6)),
        stall_every=rng.choice((4.0, 10.0)),
        stall_for=rng.choice((3.0, 15.0)),
        resubscribe_every=rng.choice((None, 4.0)),
        big_chance=rng.choice((0.0, 0.1)),
        limits=_tight(rng),
        fail_chance=0.0,
    )


def _tight(rng: Random) -> ServerLimits:
    return ServerLimits(
        rate=rng.choice((None, 20.0)),
        window=rng.choice((8, 16, 256)),
        window_bytes=rng.choice((16 << 10, 1 << 20)),
        credit=rng.choice((1, 4, 16, 64)),
        credit_bytes=rng.choice((2000, 20_000)),
        link_credit_bytes=rng.choice((3000, 60_000)),
        results_bytes=rng.choice((300, 1 << 20)),
    )


def _trimmed(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_consumers, _half_open, _restart_durable, _client_crash))(rng, plan)
    histories = (History(0), History(1), History(5), History(40, 3.0), History(1000, None, 1500))
    return replace(
        plan,
        publish_every=rng.choice((0.1, 0.4)),
        history=rng.choice(histories),
        inbox=rng.choice(histories),
        holes=rng.random() < 0.5,
    )


def _logins(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _restart_durable, _calm))(rng, plan)
    return replace(
        plan,
        login_seconds=rng.choice((0.0, 0.3, 3.0)),
        refuse_chance=rng.choice((0.0, 0.3)),
        refuse_for_good=rng.random() < 0.3,
        expires_in=rng.choice((None, 2.0, 5.0, 33.0)),
        renew_chance=rng.choice((0.0, 0.7, 1.0)),
        revoke_every=rng.choice((None, 3.0)),
    )


def _moves(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _half_open, _calm))(rng, plan)
    return replace(plan, move_every=rng.choice((2.0, 6.0)))


def _sleepers(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_half_open, _calm, _restart_durable))(rng, plan)
    return replace(
        plan,
        late_chance=rng.choice((0.02, 0.2)),
        early_chance=0.2,
        sleep_every=rng.choice((None, 5.0)),
        jump_every=rng.choice((None, 5.0)),
    )


def _two_nodes(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _half_open, _moves))(rng, _slow_broker(rng, plan))
    return replace(
        plan,
        nodes=2,
        durable_broker=True,
        crash_every=rng.choice((None, None, 6.0)),
        sleep_every=rng.choice((None, None, 6.0)),
    )


def _outboxes(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _bad_dials, _restart_memory))(rng, plan)
    limits = OutboxLimits(rng.choice((5, 20)), rng.choice((1 << 20, 2000)), rng.choice(tuple(Full)))
    return replace(
        plan,
        policy=_policy(rng, limits),
        send_every=0.3,
        burst=rng.choice((4, 30)),
        expiry_chance=0.4,
        big_chance=rng.choice((0.0, 0.1)),
        fuss_every=1.0,
    )


def _closing(rng: Random, plan: Plan) -> Plan:
    plan = rng.choice((_cuts, _bad_dials, _half_open, _restart_durable, _moves, _logins))(rng, plan)
    return replace(plan, close_chance=1.0, fuss_every=1.5, resubscribe_every=3.0)


def _dropped(_rng: Random, plan: Plan) -> Plan:
    return replace(plan, greet_and_drop=True, send_every=None, publish_every=3.0)


def _floods(rng: Random, plan: Plan) -> Plan:
    """More messages at once than the window, over links that die sooner than all of them can be repeated."""
    plan = _network(plan, cut_every=rng.choice((0.3, 0.8)), latency=0.02, bandwidth=rng.choice((20_000.0, 80_000.0)))
    limits = ServerLimits(rate=None, results_bytes=rng.choice((100, 1 << 20)))
    return replace(
        plan, send_every=rng.choice((1.0, 4.0)), burst=60, size=300, big_chance=0.05, clients=1, limits=limits
    )


def _crash_points(rng: Random, plan: Plan) -> Plan:
    """Crashes between any two steps of a broker that writes in groups, and of a client's disk."""
    return replace(
        plan,
        nodes=rng.choice((plan.nodes, plan.nodes, 2)),
        durable_broker=True,
        broker_seconds=rng.choice((0.0, 0.02, 0.1)),
        save_seconds=rng.choice((0.0, 0.02, 0.1)),
        commit_seconds=rng.choice((0.01, 0.05, 0.2)),
        crash_every=rng.choice((None, 1.5, 4.0)),
        down_for=rng.choice((0.05, 1.0)),
        broker_crash_every=rng.choice((None, 2.0, 5.0)),
        durable_client=rng.random() < 0.7,
        disk_seconds=rng.choice((0.01, 0.1)),
        die_every=rng.choice((None, 2.0, 5.0)),
    )


def _calm(_rng: Random, plan: Plan) -> Plan:
    return plan


def _mix(rng: Random, plan: Plan) -> Plan:
    """Two or three troubles at once."""
    names = [name for name in SCENARIOS if name not in ("mix", "calm", "dropped", "crash-points")]
    for name in rng.sample(names, rng.choice((1, 2, 2, 3))):
        plan = SCENARIOS[name](rng, plan)
    return _crash_points(rng, plan) if rng.random() < 0.15 else plan


SCENARIOS: Final[dict[str, Callable[[Random, Plan], Plan]]] = {
    "calm": _calm,
    "cuts": _cuts,
    "half-open": _half_open,
    "bad-dials": _bad_dials,
    "restart-memory": _restart_memory,
    "restart-durable": _restart_durable,
    "client-crash": _client_crash,
    "copies": _copies,
    "consumers": _consumers,
    "trimmed": _trimmed,
    "logins": _logins,
    "moves": _moves,
    "sleepers": _sleepers,
    "two-nodes": _two_nodes,
    "outboxes": _outboxes,
    "closing": _closing,
    "dropped": _dropped,
    "floods": _floods,
    "crash-points": _crash_points,
    "mix": _mix,
}
"""What `simulate(scenario=…)` knows by name."""
