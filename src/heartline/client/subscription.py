"""A channel as the application reads it: an asynchronous iterator, or a callback.

Invariants:
- entries come each once and in order, over any number of links, or a `Gap` comes first
  (test_entries_once_in_order_over_cuts);
- an entry that does not fit raises for itself and nothing else (test_an_entry_that_does_not_fit_can_be_skipped);
- a subscription that was dropped or closed is followed no longer (test_a_dropped_subscription_is_unsubscribed).
"""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from heartline.core.errors import HeartlineError

from .feed import Feed
from .items import Cursor, Entry, Gap
from .lane import wait_ended

T = TypeVar("T")


class Subscription(Generic[T]):
    """What `Connection.subscribe` returns. Iterate over it, or leave it alone when it has a callback.

    Iterating gives `Entry` and `Gap`. An item counts as handled when the next one is asked for; the cursor then moves,
    and the server may send more. An entry that does not fit `type=` raises `UnexpectedData`; iterate on to skip it.
    Raises `SubscriptionRefused` when the server refuses the channel or takes it away, and at a dead end of the
    connection what its requests raise (`LoginRefused`, `GaveUp`, `ConnectionClosed`, …); after `retry_now()` it can be
    iterated again. Closing it ends the iteration.

    Use it with `async with`, or call `close`; one without callback that is dropped closes itself.
    """

    def __init__(
        self,
        feed: Feed,
        connection: object,
        dead_end: Callable[[], HeartlineError | None],
        unsubscribe: Callable[[Feed, bool], None],
        dropped: Callable[[Feed], None],
    ) -> None:
        self._feed = feed
        self._connection = connection  # kept alive: this subscription lives on it
        self._dead_end = dead_end
        self._unsubscribe = unsubscribe
        self._dropped = dropped

    @property
    def channel(self) -> str:
        """Its name."""
        return self._feed.channel

    @property
    def cursor(self) -> Cursor | None:
        """Up to where the channel was handled; None before the server has answered for the first time."""
        return self._feed.cursor

    @property
    def state(self) -> Any:
        """The channel's snapshot as of the last answer of the server (presence); None where it has none."""
        return self._feed.state

    @property
    def closed(self) -> bool:
        """Whether nothing more will come: closed here, or refused by the server."""
        return self._feed.closed or self._feed.refused is not None

    async def ready(self) -> None:
        """Wait until the server has granted the subscription. Raises as iterating does."""
        feed = self._feed
        while not feed.granted or feed.refused is not None:
            error = self._why_not()
            if error is not None:
                raise error
            if feed.closed:
                raise RuntimeError(f"the subscription of {feed.channel!r} was closed")
            await self._wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry[T] | Gap:
        feed = self._feed
        item = feed.take()
        if item is not None:
            return item
        feed.iterated = True
        try:
            while not feed.queue:
                if feed.closed:
                    raise StopAsyncIteration
                error = self._why_not()
                if error is not None:
                    raise error
                future = feed.waiter()
                try:
                    error = await future
                finally:
                    feed.waited(future)
                if error is not None:
                    raise error
        finally:
            feed.iterated = False
        item = feed.take()
        assert item is not None  # nobody else could take it
        return item

    async def _wait(self) -> None:
        """Wait until something happened; raise what it was."""
        future = self._feed.waiter()
        try:
            error = await future
        finally:
            self._feed.waited(future)
        if error is not None:
            raise error

    def _why_not(self) -> HeartlineError | None:
        return self._feed.refusal() or self._dead_end()

    async def close(self, *, forget: bool = False) -> None:
        """Follow the channel no longer. A second call does nothing; what was not handled comes again if you return.

        With a durable outbox the place stays stored, and the next subscription of the channel goes on from it;
        `forget` removes it.
        """
        if not self._feed.closed:
            self._feed.close()
            self._unsubscribe(self._feed, forget)
        lane = self._feed.lane
        if lane is not None and lane.task is not None:
            await wait_ended((lane.task,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        feed = getattr(self, "_feed", None)
        if feed is not None and not feed.closed and feed.lane is None:
            self._dropped(feed)

    def __repr__(self) -> str:
        return f"<Subscription {self.channel!r} at {self.cursor}>"
