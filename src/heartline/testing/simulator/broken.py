"""Cores that are broken on purpose, so that nobody has to take the simulator's word that it would notice.

Each replaces a method or two for as long as it is asked to, and names the scenario that shows it soonest.

Invariant: each is caught within MOST_SEEDS seeds of its scenario, and the core is whole again afterwards
(test_every_broken_core_is_caught, test_the_core_is_whole_again).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from heartline.brokers.memory import MemoryBroker
from heartline.core.liveness import Act, Liveness, Pulse
from heartline.core.outbox import Message, Outbox
from heartline.core.ports import SessionRecord
from heartline.core.road import Road
from heartline.core.server.feed import Feed, Subscription
from heartline.core.server.flow import Flow
from heartline.core.server.handshake import Handshake
from heartline.core.server.link import ServerLink
from heartline.core.server.node import Node
from heartline.core.server.session import Pending, Session
from heartline.core.server.tail import Batch
from heartline.variant import is_compiled

from .commits import Call, Transactions
from .disk import Disk
from .server import SimNode
from .store import Store

MOST_SEEDS: Final = 100

Patches = list[tuple[type, str, Any]]


@dataclass(frozen=True, slots=True)
class BrokenCore:
    """What is wrong, where it shows, and the replaced attributes."""

    what: str
    scenario: str
    patches: Callable[[], Patches]


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break the core as `name` says while this lasts.

    Raises ValueError for a name there is not, RuntimeError where the core is compiled: it calls itself directly.
    """
    if name not in BROKEN:
        raise ValueError(f"core must be one of {', '.join(sorted(BROKEN))}, not {name!r}")
    if is_compiled():
        raise RuntimeError("a compiled core cannot be broken: set HEARTLINE_PURE=1 in the environment")
    with ExitStack() as stack:
        for owner, attribute, value in BROKEN[name].patches():
            stack.callback(setattr, owner, attribute, owner.__dict__[attribute])
            setattr(owner, attribute, value)
        yield


def _acks_before_handling() -> Patches:
    accept = ServerLink._accept

    def accept_and_ack(self: ServerLink, *args: Any) -> None:
        accept(self, *args)
        if self.session is not None:
            self.session.unacked = self.session.received
            self.node.touch(self)

    return [(ServerLink, "_accept", accept_and_ack), (Session, "done", property(lambda self: self.received))]


def _reuses_numbers() -> Patches:
    restore = Outbox.restore

    def restore_without_reserve(self: Outbox, messages: list[Message], next_number: int) -> None:
        del next_number
        restore(self, messages, max((m.n for m in messages), default=0) + 1)
        self._highest = 1 << 40

    return [(Outbox, "restore", restore_without_reserve)]


def _old_link_lives() -> Patches:
    return [(Handshake, "_fence", lambda _self, _session, _instance: None)]


def _saves_at_disconnect() -> Patches:
    save, say = Node._save, Session._say

    def save_the_detached(self: Node) -> None:
        kept = {key: s for key, s in self.unsaved.items() if s.link is not None}
        for key in kept:
            del self.unsaved[key]
        save(self)
        self.unsaved.update(kept)

    def say_at_once(self: Session, payload: bytes, n: int = 0) -> None:
        saved, self.saved_revision = self.saved_revision, self.revision
        say(self, payload, n)
        self.saved_revision = saved

    return [(Node, "_save", save_the_detached), (Session, "_say", say_at_once)]


def _no_window() -> Patches:
    return [(Outbox, "_window_lets", lambda self, message: message.n < self._told + 256)]


def _back_off_reset_by_open() -> Patches:
    opened = Road.opened

    def open_and_reset(self: Road, attempt: int) -> bool:
        self.retry.stable()
        return opened(self, attempt)

    return [(Road, "opened", open_and_reset)]


def _ack_settles_calls() -> Patches:
    def settle_all(self: Outbox, n: int) -> list[Message]:
        settled = [m for m in self._messages.values() if m.n <= n and m.written]
        for message in settled:
            self._settle(message)
        return settled

    return [(Outbox, "ack", settle_all), (Session, "answers", lambda _self: [])]


def _evicts_replies() -> Patches:
    finish = Session.finish

    def finish_and_evict(self: Session, message: Pending, payload: bytes | None) -> bool:
        known = finish(self, message, payload)
        newest = max((n for n, _ in self.results.items()), default=0)
        self.results.drop_below(newest)
        return known

    return [(Session, "finish", finish_and_evict)]


def _expires_what_was_written() -> Patches:
    def trim(self: Outbox) -> None:
        while self._expiries and self._expiries[0][1] not in self._messages:
            self._expiries.pop(0)
            self._expiries.sort()

    return [(Outbox, "_trim_expiries", trim)]


def _answers_from_memory() -> Patches:
    granted, headed = Feed.granted, Feed.headed
    answers: dict[tuple[int, str, str], tuple[str, int]] = {}

    def remember(self: Feed, subscription: Subscription, epoch: str, offset: int, now: float) -> None:
        session = self.link.session
        if session is not None:
            answers.setdefault((id(self.link.node), session.id, subscription.channel), (epoch, offset))
        headed(self, subscription, epoch, offset, now)

    def grant(self: Feed, subscription: Subscription) -> None:
        session, node = self.link.session, self.link.node
        known = answers.get((id(node), session.id if session is not None else "", subscription.channel))
        if known is None or subscription.r == 0:
            granted(self, subscription)
            return
        subscription.tail = node.follow(subscription)
        subscription.go(Flow.HEADING)
        subscription.epoch, subscription.sent = known
        self._ok(subscription, known[1])
        subscription.go(Flow.LIVE)

    return [(Feed, "granted", grant), (Feed, "headed", remember)]


def _ignores_credit() -> Patches:
    return [(Feed, "lets", lambda _self, _subscription, _entries, _size: True)]


def _any_traffic_is_proof() -> Patches:
    def heard(self: Liveness, now: float) -> None:
        self.heard_at = now
        self.pulse = Pulse.CALM

    return [(Liveness, "heard", heard), (Liveness, "_calm_since", lambda self: self.heard_at)]


def _dies_in_its_sleep() -> Patches:
    tick = Liveness.tick

    def judge_at_once(self: Liveness, now: float) -> Act:
        if self.pulse is Pulse.PROBING and now >= self.next_deadline():
            return Act.DEAD
        return tick(self, now)

    return [(Liveness, "tick", judge_at_once)]


def _replay_stands_still() -> Patches:
    write = Feed.write

    def write_and_forget(self: Feed, subscription: Subscription, batch: Batch, now: float) -> None:
        sent = subscription.sent
        write(self, subscription, batch, now)
        if subscription.flow is not Flow.LIVE:
            subscription.sent, subscription.told = sent, None

    return [(Feed, "write", write_and_forget)]


def _writes_before_it_is_stored() -> Patches:
    persisted = Outbox.take_number

    def take_number(self: Outbox) -> int:
        n = persisted(self)
        self.persisted(n)
        return n

    return [(Outbox, "take_number", take_number)]


def _acks_before_commit() -> Patches:
    def apply_and_tell(self: Transactions, call: Call, committed: Any) -> None:
        if not call.writes or call.about.startswith(("@", "room/")):
            apply(self, call, committed)  # only the records: entries are what an answer tells
            return
        committed(True)
        apply(self, call, lambda _answer: None)

    apply = Transactions.apply
    return [(Transactions, "apply", apply_and_tell)]


def _number_block_not_stored() -> Patches:
    apply = Disk.apply

    def apply_without_block(self: Disk, effect: Any) -> None:
        reserved, apply_now = self.next_number, apply
        apply_now(self, effect)
        self.next_number = reserved

    return [(Disk, "apply", apply_without_block)]


def _record_without_compare_and_set() -> Patches:
    def write(self: MemoryBroker, record: SessionRecord, _expected: int | None) -> bool:
        self._records[record.session] = record
        return True

    return [(MemoryBroker, "swap", write)]


def _hole_before_live() -> Patches:
    follow = Store.follow

    def follow_later(self: Store, node: SimNode, channel: str) -> None:
        node.after(0.3, lambda: follow(self, node, channel))  # the head, and the replay to it, come before

    return [(Store, "follow", follow_later)]


BROKEN: Final[dict[str, BrokenCore]] = {
    "acks-before-handling": BrokenCore(
        "the server acknowledges a message before its handler has ended", "calm", _acks_before_handling
    ),
    "reuses-numbers": BrokenCore("a client that crashed gives out its numbers again", "client-crash", _reuses_numbers),
    "old-link-lives": BrokenCore("a newer link does not fence the older one", "half-open", _old_link_lives),
    "saves-at-disconnect": BrokenCore(
        "the session record is written when the link is lost, not ahead", "restart-durable", _saves_at_disconnect
    ),
    "no-window": BrokenCore("everything unsettled is repeated at once after welcome", "floods", _no_window),
    "back-off-reset-by-open": BrokenCore("an open socket resets the back-off", "dropped", _back_off_reset_by_open),
    "ack-settles-calls": BrokenCore(
        "an ack settles calls, so their replies are said once only", "cuts", _ack_settles_calls
    ),
    "evicts-replies": BrokenCore("replies are forgotten before the floor has passed them", "cuts", _evicts_replies),
    "expires-what-was-written": BrokenCore(
        "a message expires after it was written", "outboxes", _expires_what_was_written
    ),
    "answers-from-memory": BrokenCore(
        "a resubscription is answered from memory, not from the log", "cuts", _answers_from_memory
    ),
    "ignores-credit": BrokenCore("the server sends beyond the credit", "consumers", _ignores_credit),
    "any-traffic-is-proof": BrokenCore(
        "traffic that comes in counts as proof of the way out", "half-open", _any_traffic_is_proof
    ),
    "dies-in-its-sleep": BrokenCore(
        "a late wake-up declares death without a fresh probe", "sleepers", _dies_in_its_sleep
    ),
    "replay-stands-still": BrokenCore("replay does not advance the position", "cuts", _replay_stands_still),
    "writes-before-stored": BrokenCore(
        "a durable client writes a message that is not on its disk yet", "client-crash", _writes_before_it_is_stored
    ),
    "acks-before-commit": BrokenCore(
        "the broker answers that a record is written before the commit", "crash-points", _acks_before_commit
    ),
    "number-block-not-stored": BrokenCore(
        "a client's disk keeps the message but not the numbers reserved with it",
        "client-crash",
        _number_block_not_stored,
    ),
    "record-without-compare-and-set": BrokenCore(
        "a session record is written whatever its generation is", "two-nodes", _record_without_compare_and_set
    ),
    "hole-before-live": BrokenCore(
        "a channel is announced only a while after its head was told", "crash-points", _hole_before_live
    ),
}
"""Every broken core by name."""
