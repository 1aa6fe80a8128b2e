"""What `send` and `listen` share: options of the connection, and an eye on its links.

Invariants:
- lost links are repaired without end, unless the person set an end (test_giving_up_after_a_time,
  test_giving_up_after_attempts);
- an outage is told when it lasts, and when it is over; short ones are only counted (test_a_long_outage_is_told).
"""

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .exits import Stop
from .terminal import say
from .values import above_0, beat, count

if TYPE_CHECKING:
    from heartline.client import Connection, StateChange
    from heartline.core.policy import OutboxLimits

TELL_AFTER = 2.0  # seconds without a link that are worth a line


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a connection."""
    group = parser.add_argument_group("connection")
    add = group.add_argument
    add("--give-up-after", type=above_0, metavar="S", help="end after so long without a link (default: never)")
    add("--max-attempts", type=count(1), metavar="N", help="end after so many attempts in a row without progress "
        "(default: never)")  # fmt: skip
    add("--connect-timeout", type=above_0, default=10.0, metavar="S", help="leave a dial, or a server that does not "
        "answer it, after so long (default 10)")  # fmt: skip
    add("--heartbeat", type=beat, metavar="I,T", help="seconds of silence before a ping, and before the link counts as "
        "dead after it (default: what the server says)")  # fmt: skip
    add("--login-file", metavar="FILE", help="JSON to log in with; read again for every link")
    add("--ca", metavar="FILE", help="certificates to trust for wss://, PEM (default: the system's)")
    group = parser.add_argument_group("what is told on stderr")
    add = group.add_argument
    add("--quiet", action="store_true", help="errors only")
    add("--verbose", action="store_true", help="each change of the connection's state")
    add("--stats-every", type=above_0, metavar="S", help="counts as a line of JSON, for programs")


def make_connection(
    args: argparse.Namespace, limits: "OutboxLimits | None" = None, file: str | None = None
) -> "Connection":
    """A connection as the options say, its outbox in `file` if there is one. Raises Stop for what can never work."""
    from heartline.client import connect
    from heartline.core.policy import BackOff, ClientPolicy, Heartbeat, OutboxLimits

    policy = ClientPolicy(
        heartbeat=Heartbeat(*args.heartbeat) if args.heartbeat else None,
        back_off=BackOff(cap=10.0),
        outbox=limits if limits is not None else OutboxLimits(),
        connect_timeout=args.connect_timeout,
        hello_timeout=args.connect_timeout,
        max_attempts=args.max_attempts,
    )
    login: Callable[[], object] | None = None
    if args.login_file is not None:
        _read_login(args.login_file)  # a file that is wrong now is told at once
        login = partial(_read_login, args.login_file)
    try:
        connection = connect(
            args.url, login=login, policy=policy, outbox=file, ssl=_trust(args.ca), name="heartline-cli"
        )
    except (ValueError, TypeError) as error:
        if "@" in args.url:  # not to be repeated on a screen
            raise Stop("URL: expected one without user and password, see --login-file") from None
        text = str(error)
        raise Stop(f"URL{text[3:]}, not {args.url[:80]!r}" if text.startswith("url:") else text) from None
    connection.on_gap(_ignore)  # nobody sends anything to this session
    return connection


async def start(connection: "Connection") -> None:
    """Begin to dial. Raises Stop when the outbox's file cannot be used."""
    from heartline.core.errors import OutboxError

    try:
        await connection.start()
    except OutboxError as error:
        raise Stop(str(error)) from None


def check_channel(name: str) -> str:
    """A channel's name. Raises Stop."""
    from heartline.core.names import check_name

    try:
        return check_name(name, "the channel's name")
    except ValueError as error:
        raise Stop(str(error)) from None


class LinkWatch:
    """Counts links and outages, tells of long ones, and knows when to stop.

    `dead_end` gets a text when there is no use in going on: refused for good, given up.
    """

    def __init__(self, connection: "Connection", args: argparse.Namespace) -> None:
        self.links: int = 0
        self.resumed: int = 0
        """those of `links` on which the session went on"""
        self.lost: int = 0
        self.longest_outage: float = 0.0
        self.dead_end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._args = args
        self._loop = asyncio.get_running_loop()
        self._down_since: float | None = time.monotonic()
        self._reason = ""
        self._told = False
        self._timers: list[asyncio.TimerHandle] = []
        self._stop = connection.on_state(self._changed)
        self._outage_begins()

    def close(self) -> None:
        """Watch no longer."""
        self._stop()
        self._cancel_timers()
        self.dead_end.cancel()

    @property
    def outage(self) -> float | None:
        """Seconds since there was a link; None while there is one."""
        return None if self._down_since is None else time.monotonic() - self._down_since

    def counts(self) -> dict[str, Any]:
        """For --stats-every."""
        outage = self.outage
        longest = max(self.longest_outage, outage or 0.0) if self.links else self.longest_outage
        return {
            "links": self.links,
            "resumed": self.resumed,
            "lost": self.lost,
            "outage": None if outage is None else round(outage, 3),
            "longest_outage": round(longest, 3),
        }

    def _changed(self, change: "StateChange") -> None:
        from heartline.core.enums import State

        if self._args.verbose:
            say(f"{change.old.value} -> {change.new.value}: {change.reason}{_when(change)}")
        up = change.new in {State.OPEN, State.MOVING}
        if up and self._down_since is not None:
            self.resumed += change.reason == "resumed"
            self._outage_ends()
        elif not up and self._down_since is None:
            moving_on = change.old is State.MOVING and change.new is State.GREETING
            self.lost += not (moving_on or change.new is State.CLOSED)
            self._down_since = time.monotonic()
            self._outage_begins()
        if not up and change.reason:
            self._reason = change.reason
        if change.new is State.REFUSED:
            self._end(f"the server refused for good: {change.reason or change.code}")
        elif change.new is State.GAVE_UP:
            self._end(f"gave up: {change.reason}")

    def _outage_begins(self) -> None:
        if not self._args.quiet:
            self._timers.append(self._loop.call_later(TELL_AFTER, self._tell_outage))
        limit = self._args.give_up_after
        if limit is not None:
            self._timers.append(self._loop.call_later(limit, self._give_up))

    def _outage_ends(self) -> None:
        outage = self.outage or 0.0
        if self.links:
            self.longest_outage = max(self.longest_outage, outage)
        self.links += 1
        self._down_since = None
        self._cancel_timers()
        if self._told:
            self._told = False
            say(f"connected again after {outage:.1f} s" if self.links > 1 else f"connected after {outage:.1f} s")

    def _tell_outage(self) -> None:
        self._told = True
        say(f"no link for {self.outage or 0.0:.0f} s ({self._reason or 'no answer yet'}); still trying")

    def _give_up(self) -> None:
        self._end(f"gave up after {self.outage or 0.0:.1f} s without a link ({self._reason or 'no answer'})")

    def _end(self, text: str) -> None:
        if not self.dead_end.done():
            self.dead_end.set_result(text)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


class Stats:
    """A line of JSON on stderr every so often, and a last one at the end."""

    def __init__(self, every: float | None, counts: Callable[[], dict[str, Any]]) -> None:
        self._every = every
        self._counts = counts
        self._timer: asyncio.TimerHandle | None = None
        if every is not None:
            self._tick()

    def close(self) -> None:
        """Tell the last counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            say(json.dumps(self._counts()))

    def _tick(self) -> None:
        assert self._every is not None
        self._timer = asyncio.get_running_loop().call_later(max(0.02, self._every), self._tick)
        say(json.dumps(self._counts()))


def _ignore(_gap: object) -> None:
    """The inbox is not used here."""


def _when(change: "StateChange") -> str:
    return "" if change.retry_in is None else f" (again in {change.retry_in:.2f} s)"


def _read_login(path: str) -> object:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise Stop(f"--login-file {path}: {error.strerror}") from None
    except ValueError:
        raise Stop(f"--login-file {path}: this is not JSON") from None


def _trust(path: str | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise Stop(f"--ca {path}: {error.strerror or error}") from None
