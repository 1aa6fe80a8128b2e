"""Brokers for tests: the memory broker behind a wire that takes time, breaks, or both."""

import asyncio
from collections.abc import Callable
from typing import Any

from heartline import BrokerError
from heartline.brokers.memory import MemoryBroker

CALLS = ("append", "follow", "unfollow", "head", "read", "drop", "load", "swap", "forget", "release")


class Wire:
    """Every call suspends; calls about one channel or session take effect in the order in which they were made.

    `failing`: names of calls that raise; `after` of them take effect before the wire breaks. `log` names what was asked.
    """

    def __init__(self, broker: MemoryBroker, delay: Callable[[str], float] = lambda _call: 0.0) -> None:
        self.broker = broker
        self.durable = broker.durable
        self.trouble = broker.trouble
        self.delay = delay
        self.failing: dict[str, Exception] = {}
        self.takes_effect = False
        self.log: list[str] = []
        self._tails: dict[str, asyncio.Future[None]] = {}

    async def start(self, *args: Any) -> None:
        await asyncio.sleep(0)
        self.broker.start(*args)

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.broker.stop()

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(name)

        async def call(*args: Any, **options: Any) -> Any:
            about = args[0] if isinstance(args[0], str) else args[0].session
            before = self._tails.get(about)
            mine = self._tails[about] = asyncio.get_running_loop().create_future()
            self.log.append(name)
            try:
                if before is not None:
                    await before
                await asyncio.sleep(self.delay(name))
                error = self.failing.get(name)
                if error is not None and not self.takes_effect:
                    raise error
                value = getattr(self.broker, name)(*args, **options)
                if error is not None:
                    raise error
            finally:
                mine.set_result(None)
                if self._tails.get(about) is mine:
                    del self._tails[about]
            await asyncio.sleep(0)
            return value

        return call


def broken(message: str = "the disk is full") -> BrokerError:
    return BrokerError(message)
