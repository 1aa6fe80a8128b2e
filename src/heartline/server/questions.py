"""What the node asks, put to the application and to the broker, and the answers brought back.

Invariants:
- each question is answered exactly once, now or later (test_every_question_is_answered_once);
- a broker or hook that fails closes or refuses what asked, and nobody else (test_a_failing_hook_harms_one_link);
- a record that could not be written is written again, for a while (test_a_failed_write_is_repeated), and a takeover
  that was written without our hearing of it is ours (test_a_takeover_that_cannot_be_written_is_repeated);
- a login is judged in time or refused, and one renewal at a time (test_logins_have_a_time_limit,
  test_one_renewal_at_a_time).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from heartline.core.codes import Code
from heartline.core.errors import BrokerError
from heartline.core.ports import MaybeAwaitable
from heartline.core.server import effects as do
from heartline.core.server.link import ServerLink
from heartline.core.server.presence import WHO
from heartline.core.server.session import Session as CoreSession
from heartline.core.server.verdicts import Accepted, RefusedLogin
from heartline.transports.clock import now

from .eager import Runner
from .refusals import Refuse
from .settling import tell

if TYPE_CHECKING:
    from .hub import Hub

logger: logging.Logger = logging.getLogger("heartline.server")
_T = TypeVar("_T")
WRITES = 20  # times a record is written before its session is given up: half a minute


async def settled(answer: "MaybeAwaitable[_T]") -> _T:
    """The answer of a broker or hook, waited for if it must be."""
    if hasattr(answer, "__await__"):
        return await cast("Awaitable[_T]", answer)
    return answer  # type: ignore[return-value,unused-ignore]


class Questions:
    """Asks for one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._node = hub.node
        self._broker = hub.broker
        self._renewing: set[ServerLink] = set()
        self._stuck: set[str] = set()
        """Sessions whose takeover could not be written yet."""
        self.actions: dict[type, Callable[[Any], None]] = {
            do.Judge: self._judge,
            do.Authorise: self._authorise,
            do.Load: self._load,
            do.Release: self._release,
            do.Swap: self._swap,
            do.Save: self._save,
            do.ForgetSession: self._forget_session,
            do.Head: self._head,
            do.HeadInbox: self._head_inbox,
            do.Read: self._read,
            do.Follow: self._follow,
            do.Unfollow: lambda e: self.ask(lambda: self._broker.unfollow(e.channel), _nothing, self._broker_failed),
            do.Append: self._append,
            do.SessionOpened: lambda e: self._tell(hub.options.opened, e.session, e.resumed),
            do.SessionDetached: lambda e: self._tell(hub.options.detached, e.session),
        }

    # effects: questions to the application

    def _judge(self, effect: do.Judge) -> None:
        link = effect.link
        if effect.renewal:
            if link in self._renewing:
                self._node.judged(link, RefusedLogin("busy", "the login before is still being judged", 1.0), now())
                return
            self._renewing.add(link)

        def judged(verdict: Accepted | RefusedLogin) -> None:
            self._renewing.discard(link)
            self._node.judged(link, verdict, now())

        def judge() -> MaybeAwaitable[Accepted]:
            verdict = self._hub.options.judge(effect.payload, link.info)
            return verdict if isinstance(verdict, Accepted) else self._in_time(verdict)

        self.ask(judge, judged, lambda error: judged(_login_failed(error)), self._hub.judging)

    async def _in_time(self, verdict: Awaitable[Accepted]) -> Accepted:
        async with asyncio.timeout(self._hub.options.limits.hello_timeout):
            return await verdict

    def _authorise(self, effect: do.Authorise) -> None:
        subscription = effect.subscription
        core = subscription.feed.link.session
        channel = subscription.channel
        presence_of = channel.removeprefix(WHO)
        found = self._hub.entries.rule(presence_of)
        if core is None:
            return
        if found is None or (presence_of != channel and not found[0].presence):
            self._node.authorised(subscription, "unknown_channel", f"no channel {channel[:80]!r}")
            return
        rule, parts = found

        def answer(verdict: Any) -> None:
            if verdict is False:
                self._node.authorised(subscription, "forbidden", "you may not follow this channel")
            else:
                self._node.authorised(subscription, None, who=rule.presence and presence_of == channel)

        def refused(error: BaseException) -> None:
            if isinstance(error, Refuse):
                self._node.authorised(subscription, error.code, error.message)
            elif isinstance(error, asyncio.CancelledError) and self._hub.stopping:
                self._node.authorised(subscription, "failed", "the server stops")
            else:
                logger.error("the subscription hook of %r failed", rule.pattern, exc_info=error)
                self._node.authorised(subscription, "failed", "the hook failed")

        self.ask(lambda: rule.may_subscribe(self._hub.facade(core), parts), answer, refused, self._hub.judging)

    def _tell(self, hooks: list[Callable[..., Any]], core: CoreSession, *more: Any) -> None:
        for hook in hooks:
            self.ask(lambda hook=hook: hook(self._hub.facade(core), *more), _nothing, _hook_failed)  # type: ignore[misc]

    # effects: questions to the broker

    def _load(self, effect: do.Load) -> None:
        self.ask(
            lambda: self._broker.load(effect.session),
            lambda record: self._node.loaded(effect.link, record, now()),
            lambda error: self._try_later(effect.link, error),
        )

    def _release(self, effect: do.Release) -> None:
        self.ask(
            lambda: self._broker.release(effect.session, effect.owner),
            lambda released: self._node.released(effect.link, released, now()),
            lambda error: self._try_later(effect.link, error),
        )

    def _swap(self, effect: do.Swap, tries: int = 1) -> None:
        session = effect.record.session

        def swapped(written: bool) -> None:
            self._stuck.discard(session)
            self._node.swapped(effect.link, written, now())

        def answered(written: bool) -> None:
            if written or tries == 1:
                swapped(written)
            else:  # an earlier try may have been written, and its answer lost
                self.ask(lambda: self._broker.load(session), lambda stored: swapped(stored == effect.record), failed)

        def failed(error: BaseException) -> None:
            if self._again(error, tries, lambda: self._swap(effect, tries + 1)):
                self._stuck.add(session)
            else:
                swapped(False)

        self.ask(lambda: self._broker.swap(effect.record, effect.expected), answered, failed)

    def _save(self, effect: do.Save, tries: int = 1) -> None:
        session, revision = effect.session, effect.revision

        def saved(written: bool) -> None:
            self._node.saved(session, revision, written, now())
            waiting = self._hub.saving.pop(session, [])
            if session.fenced:
                self._hub.loop.call_soon(self._hub.forget, session)
                return
            for need, pending in waiting:
                if need <= revision:
                    self._hub.calls.start(pending)
                else:
                    self._hub.saving.setdefault(session, []).append((need, pending))

        def failed(error: BaseException) -> None:
            if session.fenced or not self._again(error, tries, lambda: self._save_again(session, tries + 1)):
                saved(False)

        self.ask(lambda: self._broker.swap(effect.record, effect.expected), saved, failed)

    def _save_again(self, session: CoreSession, tries: int) -> None:
        """Write what the record is by now, behind a takeover that waits for its own write."""
        if session.id in self._stuck:
            self._hub.later(0.1, lambda: self._save_again(session, tries))
            return
        record = session.record(self._node.name, now())
        self._save(do.Save(session, record, session.revision, session.generation), tries)

    def _again(self, error: BaseException, tries: int, write: Callable[[], None]) -> bool:
        """A write failed: whether it will be tried again."""
        self._broker_failed(error)
        if not isinstance(error, BrokerError) or not error.retryable or tries >= WRITES or self._hub.stopping:
            return False
        self._hub.later(min(2.0, 0.05 * 2**tries), write)
        return True

    def _forget_session(self, effect: do.ForgetSession) -> None:
        session = effect.session
        facade = self._hub.forget(session)
        generation = session.generation

        def drop_inbox(_: object) -> None:
            self.ask(lambda: self._broker.drop(f"@{session.id}"), _nothing, self._broker_failed)

        if session.durable:
            self.ask(
                lambda: self._broker.forget(session.id, generation),
                lambda gone: drop_inbox(None) if gone else None,
                self._broker_failed,
            )
        elif session.resumable:
            drop_inbox(None)
        for hook in self._hub.options.ended:
            self.ask(lambda hook=hook: hook(facade), _nothing, _hook_failed)  # type: ignore[misc]

    def _head(self, effect: do.Head) -> None:
        subscription = effect.subscription
        self.ask(
            lambda: self._broker.head(subscription.channel),
            lambda head: self._node.headed(subscription, head[0], head[1], now()),
            lambda error: self._broken(subscription.feed.link, error),
        )

    def _head_inbox(self, effect: do.HeadInbox) -> None:
        self.ask(
            lambda: self._broker.head(effect.channel),
            lambda head: self._node.inbox_headed(effect.link, head[0], head[1], now()),
            lambda error: self._try_later(effect.link, error),
        )

    def _read(self, effect: do.Read) -> None:
        subscription = effect.subscription
        self.ask(
            lambda: self._broker.read(subscription.channel, effect.after, effect.limit, effect.max_bytes),
            lambda piece: self._node.read(subscription, piece, now()),
            lambda error: self._broken(subscription.feed.link, error),
        )

    def _follow(self, effect: do.Follow) -> None:
        def failed(error: BaseException) -> None:
            tail = self._node.tails.get(effect.channel)
            for subscription in list(tail.followers) if tail is not None else ():
                self._broken(subscription.feed.link, error)

        self.ask(lambda: self._broker.follow(effect.channel), _nothing, failed)

    def _append(self, effect: do.Append) -> None:
        self.ask(
            lambda: self._broker.append(effect.channel, effect.event, effect.data, self._hub.entries.inbox),
            _nothing,
            self._broker_failed,
        )

    def ask(
        self,
        question: Callable[[], "MaybeAwaitable[_T]"],
        answered: Callable[[_T], None],
        failed: Callable[[BaseException], None],
        runner: Runner | None = None,
    ) -> None:
        """Put a question that may be answered at once or later; exactly one of the two is called."""
        try:
            answer = question()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - handed to `failed`
            failed(error)
            return
        if hasattr(answer, "__await__"):
            (runner or self._hub.asking).start(tell(cast("Awaitable[_T]", answer), answered, failed, self._hub.turn))
        else:
            answered(answer)  # pyright: ignore[reportArgumentType]

    def _try_later(self, link: ServerLink, error: BaseException) -> None:
        self._broker_failed(error)
        link.refuse("busy", "the session store does not answer", 1.0, Code.REFUSED_FOR_NOW)

    def _broken(self, link: ServerLink, error: BaseException) -> None:
        self._broker_failed(error)
        link.close(Code.TRY_LATER, "the broker does not answer")

    def _broker_failed(self, error: BaseException) -> None:
        if not isinstance(error, asyncio.CancelledError):
            logger.error("the broker failed: %s", error, exc_info=None if isinstance(error, BrokerError) else error)


def _nothing(_: object) -> None:
    """For answers nobody waits for."""


def _hook_failed(error: BaseException) -> None:
    logger.error("a session hook failed", exc_info=error)


def _login_failed(error: BaseException) -> RefusedLogin:
    if isinstance(error, Refuse):
        return RefusedLogin(error.code, error.message, error.retry)
    if not isinstance(error, asyncio.CancelledError):
        logger.error("the login hook failed", exc_info=error)
    return RefusedLogin("failed", "the login could not be judged", 5.0)
