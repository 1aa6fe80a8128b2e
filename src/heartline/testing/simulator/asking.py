"""What a simulated node asks the broker, and what it does when the broker dies under the question, as the shell does.

Invariant: a record that could not be written is written again, for a while (test_the_promise_holds).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heartline.core.codes import Code
from heartline.core.server import effects as do
from heartline.core.server.link import ServerLink
from heartline.core.server.session import Session

if TYPE_CHECKING:
    from .server import SimNode

WRITES = 20


class Asking:
    """Asks for one node."""

    def __init__(self, sim: "SimNode") -> None:
        self._sim = sim
        self._store = sim.store
        self.actions: dict[type, Callable[[Any], None]] = {
            do.Load: self._load,
            do.Swap: self._swap,
            do.Save: self._save,
            do.Release: self._release,
            do.ForgetSession: self._forget,
            do.Head: self._head,
            do.HeadInbox: self._head_inbox,
            do.Read: self._read,
            do.Follow: self._follow,
            do.Unfollow: self._unfollow,
            do.Append: self._append,
        }

    def _load(self, effect: do.Load) -> None:
        self._store.call(
            self._sim, effect.session, lambda: self._store.broker.load(effect.session),
            lambda record: self._sim.node.loaded(effect.link, record, self._sim.now()), lambda: _try_later(effect.link),
            save=True,
        )  # fmt: skip

    def _swap(self, effect: do.Swap, tries: int = 1) -> None:
        session = effect.record.session

        def swapped(written: bool) -> None:
            self._sim.stuck.discard(session)
            self._sim.node.swapped(effect.link, written, self._sim.now())

        def answered(written: bool) -> None:
            if written or tries == 1:
                swapped(written)
            else:  # an earlier try may have been written, and its answer lost
                self._store.call(
                    self._sim, session, lambda: self._store.broker.load(session),
                    lambda stored: swapped(stored == effect.record), failed, save=True,
                )  # fmt: skip

        def failed() -> None:
            if self._again(tries, lambda: self._swap(effect, tries + 1)):
                self._sim.stuck.add(session)
            else:
                swapped(written=False)

        self._store.call(
            self._sim, session, lambda: self._store.swap(effect.record, effect.expected), answered, failed,
            save=True, writes=True,
        )  # fmt: skip

    def _save(self, effect: do.Save, tries: int = 1) -> None:
        session = effect.session

        def saved(written: bool) -> None:
            self._sim.node.saved(session, effect.revision, written, self._sim.now())
            waiting = self._sim.waiting.pop(session, [])
            for need, message, start in waiting if written else []:
                if need <= effect.revision:
                    self._sim.run_handler(message, start)
                else:
                    self._sim.waiting.setdefault(session, []).append((need, message, start))

        def failed() -> None:
            if session.fenced or not self._again(tries, lambda: self._save_again(session, tries + 1)):
                saved(written=False)

        self._store.call(
            self._sim, effect.record.session, lambda: self._store.swap(effect.record, effect.expected), saved, failed,
            save=True, writes=True,
        )  # fmt: skip

    def _save_again(self, session: Session, tries: int) -> None:
        """Write what the record is by now, behind a takeover that waits for its own write, as the shell does."""
        if session.id in self._sim.stuck:
            self._sim.after(0.1, lambda: self._save_again(session, tries))
            return
        record = session.record(self._sim.name, self._sim.now())
        self._save(do.Save(session, record, session.revision, session.generation), tries)

    def _again(self, tries: int, write: Callable[[], None]) -> bool:
        """A write failed: whether it will be tried again."""
        if tries >= WRITES:
            return False

        def again() -> None:
            write()
            self._sim.turn()

        self._sim.after(min(2.0, 0.05 * 2**tries), again)
        return True

    def _release(self, effect: do.Release) -> None:
        self._store.release(
            self._sim,
            effect.session,
            effect.owner,
            lambda done: self._sim.node.released(effect.link, done, self._sim.now()),
        )

    def _forget(self, effect: do.ForgetSession) -> None:
        session = effect.session
        generation = session.generation
        self._sim.world.note(self._sim.name, "forgets", session.id)

        def forget() -> bool:
            gone = self._store.broker.forget(session.id, generation)
            if gone or not session.durable:
                self._sim.ledger.session_lost(session.id, "forgotten")
            return gone

        def forgotten(gone: bool) -> None:
            if gone or not session.durable:
                inbox = f"@{session.id}"
                self._store.call(self._sim, inbox, lambda: self._store.broker.drop(inbox), _nothing, writes=True)

        self._store.call(self._sim, session.id, forget, forgotten, save=True, writes=True)

    def _head(self, effect: do.Head) -> None:
        subscription = effect.subscription
        self._store.call(
            self._sim, subscription.channel, lambda: self._store.broker.head(subscription.channel),
            lambda head: self._sim.node.headed(subscription, head[0], head[1], self._sim.now()),
            lambda: _broken(subscription.feed.link),
        )  # fmt: skip

    def _head_inbox(self, effect: do.HeadInbox) -> None:
        self._store.call(
            self._sim, effect.channel, lambda: self._store.broker.head(effect.channel),
            lambda head: self._sim.node.inbox_headed(effect.link, head[0], head[1], self._sim.now()),
            lambda: _try_later(effect.link),
        )  # fmt: skip

    def _read(self, effect: do.Read) -> None:
        channel = effect.subscription.channel
        self._store.call(
            self._sim, channel, lambda: self._store.broker.read(channel, effect.after, effect.limit, effect.max_bytes),
            lambda piece: self._sim.node.read(effect.subscription, piece, self._sim.now()),
            lambda: _broken(effect.subscription.feed.link),
        )  # fmt: skip

    def _follow(self, effect: do.Follow) -> None:
        def failed() -> None:
            tail = self._sim.node.tails.get(effect.channel)
            for subscription in list(tail.followers) if tail is not None else ():
                _broken(subscription.feed.link)

        self._tell_followed(effect.channel, self._store.follow, failed)

    def _unfollow(self, effect: do.Unfollow) -> None:
        self._tell_followed(effect.channel, self._store.unfollow, lambda: None)

    def _tell_followed(self, channel: str, act: Callable[["SimNode", str], None], failed: Callable[[], None]) -> None:
        """Follow or unfollow, for this process: what a dead one had under way concerns nobody."""
        life = self._sim.life

        def living() -> None:
            if self._sim.life == life:
                act(self._sim, channel)

        self._store.call(self._sim, channel, living, _nothing, failed, writes=True)

    def _append(self, effect: do.Append) -> None:
        self._store.call(
            self._sim, effect.channel,
            lambda: self._store.append(effect.channel, effect.event, effect.data, self._sim.plan.history), _nothing,
            writes=True,
        )  # fmt: skip


def _nothing(_: object) -> None:
    """For answers nobody waits for."""


def _try_later(link: ServerLink) -> None:
    link.refuse("busy", "the session store does not answer", 1.0, Code.REFUSED_FOR_NOW)


def _broken(link: ServerLink) -> None:
    link.close(Code.TRY_LATER, "the broker does not answer")
