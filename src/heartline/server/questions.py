"""What the node asks, put to the application and to the broker, and the answers brought back.

Invariants:
- each question is answered exactly once, now or later (test_every_question_is_answered_once);
- a broker or hook that fails closes or refuses what asked, and nobody else (test_a_failing_hook_harms_one_link).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from heartline.core.codes import Code
from heartline.core.errors import BrokerError, HeartlineError
from heartline.core.ports import MaybeAwaitable
from heartline.core.server import effects as do
from heartline.core.server.handshake import Accepted, RefusedLogin
from heartline.core.server.link import ServerLink
from heartline.core.server.presence import WHO
from heartline.core.server.session import Session as CoreSession
from heartline.transports.clock import now

from .refusals import Refuse

if TYPE_CHECKING:
    from .hub import Hub

logger = logging.getLogger("heartline.server")
_T = TypeVar("_T")


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
            do.Follow: lambda e: self.ask(lambda: self._broker.follow(e.channel), _nothing, self._broker_failed),
            do.Unfollow: lambda e: self.ask(lambda: self._broker.unfollow(e.channel), _nothing, self._broker_failed),
            do.Append: self._append,
            do.SessionOpened: lambda e: self._tell(hub.options.opened, e.session, e.resumed),
            do.SessionDetached: lambda e: self._tell(hub.options.detached, e.session),
        }

    # effects: questions to the application

    def _judge(self, effect: do.Judge) -> None:
        link = effect.link

        def judge() -> MaybeAwaitable[Accepted]:
            return self._hub.options.judge(effect.payload, link.info)

        self.ask(
            judge,
            lambda accepted: self._node.judged(link, accepted, now()),
            lambda error: self._node.judged(link, _login_failed(error), now()),
        )

    def _authorise(self, effect: do.Authorise) -> None:
        subscription = effect.subscription
        core = subscription.feed.link.session
        channel = subscription.channel
        presence_of = channel.removeprefix(WHO)
        found = self._hub.rule(presence_of)
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
            else:
                logger.error("the subscription hook of %r failed", rule.pattern, exc_info=error)
                self._node.authorised(subscription, "failed", "the hook failed")

        self.ask(lambda: rule.may_subscribe(self._hub.facade(core), parts), answer, refused)

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

    def _swap(self, effect: do.Swap) -> None:
        self.ask(
            lambda: self._broker.swap(effect.record, effect.expected),
            lambda written: self._node.swapped(effect.link, written, now()),
            lambda error: self._try_later(effect.link, error),
        )

    def _save(self, effect: do.Save) -> None:
        session, revision = effect.session, effect.revision

        def saved(written: bool) -> None:
            self._node.saved(session, revision, written, now())
            waiting = self._hub.saving.pop(session, [])
            for need, pending in waiting if written else []:
                if need <= revision:
                    self._hub.calls.start(pending)
                else:
                    self._hub.saving.setdefault(session, []).append((need, pending))

        self.ask(
            lambda: self._broker.swap(effect.record, effect.expected),
            saved,
            lambda error: self._not_saved(session, revision, error),
        )

    def _not_saved(self, session: CoreSession, revision: int, error: BaseException) -> None:
        self._broker_failed(error)
        self._node.saved(session, revision, False, now())

    def _forget_session(self, effect: do.ForgetSession) -> None:
        session = effect.session
        facade = self._hub.forget(session)
        generation = session.generation

        def drop_inbox(_: object) -> None:
            self.ask(lambda: self._broker.drop(f"@{session.id}"), _nothing, self._broker_failed)

        if self._broker.durable and not session.anonymous:
            self.ask(
                lambda: self._broker.forget(session.id, generation),
                lambda gone: drop_inbox(None) if gone else None,
                self._broker_failed,
            )
        elif not session.anonymous:
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

    def _append(self, effect: do.Append) -> None:
        self.ask(
            lambda: self._broker.append(effect.channel, effect.event, effect.data, self._hub.inbox),
            _nothing,
            self._broker_failed,
        )

    def ask(
        self,
        question: Callable[[], "MaybeAwaitable[_T]"],
        answered: Callable[[_T], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Put a question that may be answered at once or later; exactly one of the two is called."""
        try:
            answer = question()
            if hasattr(answer, "__await__"):
                _, value, task = self._hub.runner.start(_awaited(answer))
                if task is not None:
                    task.add_done_callback(lambda task: self._answered(task, answered, failed))
                    return
                answer = value  # type: ignore[assignment]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - handed to `failed`
            failed(error)
            return
        answered(answer)  # type: ignore[arg-type]

    def _answered(
        self, task: "asyncio.Task[_T]", answered: Callable[[_T], None], failed: Callable[[BaseException], None]
    ) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            failed(error)
        else:
            answered(task.result())
        self._hub.turn()

    def _try_later(self, link: ServerLink, error: BaseException) -> None:
        self._broker_failed(error)
        link.refuse("busy", "the session store does not answer", 1.0, Code.REFUSED_FOR_NOW)

    def _broken(self, link: ServerLink, error: BaseException) -> None:
        self._broker_failed(error)
        link.close(Code.TRY_LATER, "the broker does not answer")

    def _broker_failed(self, error: BaseException) -> None:
        if not isinstance(error, asyncio.CancelledError):
            logger.error("the broker failed: %s", error, exc_info=None if isinstance(error, BrokerError) else error)


async def _awaited(answer: Awaitable[_T]) -> _T:
    return await answer


def _nothing(_: object) -> None:
    """For answers nobody waits for."""


def _hook_failed(error: BaseException) -> None:
    logger.error("a session hook failed", exc_info=error)


def _login_failed(error: BaseException) -> RefusedLogin:
    if isinstance(error, Refuse):
        return RefusedLogin(error.code, error.message, error.retry)
    if isinstance(error, (msgspec.ValidationError, msgspec.DecodeError)):
        return RefusedLogin("invalid", str(error)[:200], False)
    if not isinstance(error, (asyncio.CancelledError, HeartlineError)):
        logger.error("the login hook failed", exc_info=error)
    return RefusedLogin("failed", "the login could not be judged", 5.0)
