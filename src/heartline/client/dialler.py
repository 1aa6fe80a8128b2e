"""Dialling the sockets of one connection.

Invariants:
- one dial at a time, and none whose result nobody wants is left running (test_closing_leaves_nothing);
- the login is asked for each link, before it is dialled (test_login_is_called_for_each_link).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Raw

from heartline.transports.clock import now
from heartline.transports.plain import DialError

from .lane import current_task
from .links import Link
from .options import Options, ask, login_payload

if TYPE_CHECKING:
    from .shell import Shell

_logger = logging.getLogger("heartline.client")

_T = TypeVar("_T")


class _SourceFailed(Exception):
    """The application's own function for the login or the headers raised."""


async def _from_source(what: str, value: Awaitable[_T]) -> _T:
    try:
        return await value
    except Exception as error:
        _logger.debug("%s= raised", what, exc_info=True)
        raise _SourceFailed(f"{what}: {type(error).__name__}: {error}") from error


class Dialler:
    """The one dial that is under way."""

    def __init__(
        self,
        options: Options,
        owner: "Shell",
        make_link: Callable[[int, Raw], Link],
        links: dict[int, Link],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._options = options
        self._owner = owner
        self._make_link = make_link
        self._links = links
        self._tasks = tasks
        self._attempt = 0
        self._task: asyncio.Task[None] | None = None
        self.last_status: int | None = None

    def start(self, attempt: int) -> None:
        """Dial."""
        self._attempt = attempt
        self.last_status = None
        self._task = asyncio.get_running_loop().create_task(self._dial(attempt))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    def stop(self, attempt: int) -> None:
        """Dial no longer."""
        task, self._task = self._task, None
        if attempt == self._attempt:
            self._attempt = 0
            if task is not None and task is not current_task():
                task.cancel()

    async def _dial(self, attempt: int) -> None:
        try:
            await self._open(attempt)
        except DialError as error:
            self.last_status = error.status
            self._failed(attempt, error.reason, fatal=not error.retryable)
        except ValueError as error:  # headers that a function gave, a URL the transport will not have
            self._failed(attempt, str(error), fatal=True)
        except asyncio.CancelledError:
            task = current_task()
            if task is None or task.cancelling():
                raise
            self._failed(attempt, "the login was cancelled")
        except _SourceFailed as error:
            self._failed(attempt, str(error))

    async def _open(self, attempt: int) -> None:
        from heartline.transports import dial  # picows is loaded when it is needed

        options = self._options
        login = await _from_source("login", login_payload(options.login))
        headers = await _from_source("headers", ask(options.headers))
        if self._attempt != attempt:
            return
        link = self._links[attempt] = self._make_link(attempt, login)
        try:
            await dial(
                options.url,
                link,
                headers=headers,
                ssl=options.ssl,
                proxy=options.proxy,
                subprotocols=options.subprotocols,
                timeout=options.policy.connect_timeout,
                limits=options.limits,
            )
        finally:
            if not link.opened:
                self._owner.gone(link)

    def _failed(self, attempt: int, reason: str, *, fatal: bool = False) -> None:
        self._owner.machine.failed(attempt, now(), reason, fatal=fatal)
        self._owner.run()
