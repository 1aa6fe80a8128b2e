"""A real TCP proxy on the fault model: put it between a client and a server and lose connections on purpose.

    async with FaultProxy(("127.0.0.1", port), rules=FaultRules(cut_every=5), seed=7) as proxy:
        conn = await connect(proxy.url("ws"))
        proxy.freeze()

Beside the seeded rules there are hands: `cut`, `cut_all`, `freeze`, `thaw`, `refuse`, `hang_dials`, `set_rules`. Both
hold: a direction is frozen when the plan or a hand says so, and `thaw` lifts only what hands did.

With ``name_of`` links get names from their first words, and `group` does to the links of one name what the proxy's own
hands do to all: one page of an application is cut off while the others go on.

A refused dial is accepted by the system and reset at once, because a listening socket that is closed and bound
again may lose its port to somebody else; a client sees a connection that breaks before its first byte. A hung dial
is accepted and never answered.

Invariants, each with tests in ``tests/faults/test_proxy*.py``: those of `heartline.faults.link`, `.pipes`,
`.sides` and `.groups`, and

- closing_leaves_nothing: after `close` there is no socket, no timer and no task of the proxy.
- a_broken_listener_breaks_nothing: an error in ``on_event`` or ``name_of`` goes to the loop's exception handler, not
  into the proxy.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final, Self

from heartline.faults.groups import Group, Plan, directions
from heartline.faults.link import LinkPhase, ProxyLink
from heartline.faults.model import DialVerdict
from heartline.faults.report import ProxyEvent, ProxyEventKind, ProxyStats, no_counts
from heartline.faults.rules import Direction, FaultRules
from heartline.faults.sides import hang_ups

_BACKLOG: Final = 4096
_LOOK_EVERY: Final = 0.05  # seconds between looks for peers that left a socket nobody reads
_HELD_LIMIT: Final = 1024 * 1024


class FaultProxy:
    """A TCP proxy that does to its links what rules and hands tell it.

    ``target``: (host, port) to forward to. ``listen``: (host, port) to listen on, port 0 for any. ``rules`` and
    ``seed``: the plan; the n-th accepted dial always gets the same one. ``on_event``: called with each `ProxyEvent`,
    inside the loop. ``held_limit``: bytes each direction of a link may hold in the proxy before it stops reading; a
    link with much latency times bandwidth needs more. ``name_of``: called with the head of the request that a link
    begins with, up to the empty line, gives its name or None; dials are then decided only when the head is there.

    Use it as an asynchronous context manager, or call `start` and `close`. All methods belong to the loop's thread.
    `start` raises OSError when the address cannot be bound.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        rules: FaultRules | None = None,
        seed: int = 0,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        on_event: Callable[[ProxyEvent], None] | None = None,
        held_limit: int = _HELD_LIMIT,
        name_of: Callable[[bytes], str | None] | None = None,
    ) -> None:
        if held_limit < 1:
            raise ValueError(f"held_limit must be at least 1 byte, not {held_limit!r}")
        self.target = target
        self.held: set[Direction] = set()  # frozen by hand, all links and those to come
        self.held_limit = held_limit
        self._listen = listen
        self._on_event = on_event
        self._name_of = name_of
        self._seed = seed
        self._plan = Plan(rules if rules is not None else FaultRules(), random.Random(seed), 0.0)
        self._groups: dict[str, Group] = {}
        self._refusing = False
        self._hanging = False
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0  # loop time at start
        self._links: dict[int, ProxyLink] = {}
        self._watched: set[ProxyLink] = set()
        self._watcher: asyncio.TimerHandle | None = None
        self._counts = no_counts()
        self._news = asyncio.Event()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Afterwards `address` and `url` are known."""
        if self._server is not None:
            raise RuntimeError("this FaultProxy was started already")
        self._loop = asyncio.get_running_loop()
        self._began = self._plan.began = self._loop.time()
        host, port = self._listen
        self._server = await self._loop.create_server(lambda: ProxyLink(self).client, host, port, backlog=_BACKLOG)

    async def close(self) -> None:
        """Stop listening, reset every link and wait until all sockets are gone. A second call does nothing."""
        if self._server is None:
            return
        self._server.close()
        links = list(self._links.values())
        dials = [link.dialling for link in links if link.dialling is not None]
        for link in links:
            link.shut()
        await asyncio.gather(*dials, return_exceptions=True)
        await asyncio.sleep(0)  # a dial that was cancelled while it succeeded drops its socket in the next turn
        while self._links:  # connection_lost is called in later turns
            self._news.clear()
            await self._news.wait()
        await self._server.wait_closed()
        if self._watcher is not None:
            self._watcher.cancel()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) clients connect to."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("this FaultProxy is not listening")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def url(self, scheme: str = "ws", path: str = "/") -> str:
        """The address as a URL, for example ``ws://127.0.0.1:4711/``."""
        host, port = self.address
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"

    # --- hands ----------------------------------------------------------------------------------

    @property
    def links(self) -> tuple[int, ...]:
        """Numbers of the open links, oldest first, for the ``link`` arguments."""
        return tuple(number for number, link in self._links.items() if link.phase is LinkPhase.OPEN)

    def cut(self, link: int, lose: bool = True) -> None:
        """Cut one link. ``lose``: reset both sides and lose what is in flight; otherwise deliver it, then end.

        Delivering takes at most 5 s, then the rest is lost too. KeyError when there is no such link any more.
        """
        self._links[link].cut(lose)

    def cut_all(self, lose: bool = True) -> int:
        """Cut every link, also hung dials. Returns how many."""
        links = list(self._links.values())
        for link in links:
            link.cut(lose)
        return len(links)

    def freeze(self, direction: Direction | None = None, *, link: int | None = None) -> None:
        """Let nothing through in this direction (None: both) until `thaw`; the connections stay open.

        Without ``link``: all links, also those opened later. KeyError when there is no such link any more.
        """
        (self.held if link is None else self._links[link].held).update(directions(direction))
        self._refresh()

    def thaw(self, direction: Direction | None = None, *, link: int | None = None) -> None:
        """Undo `freeze`: for one link, or for everything frozen by hand. What the plan froze stays frozen."""
        which = list(self._links.values()) if link is None else [self._links[link]]
        for one in which:
            one.held.difference_update(directions(direction))
        if link is None:
            self.held.difference_update(directions(direction))
        self._refresh()

    def refuse(self, on: bool = True) -> None:
        """Reset all dials from now on, or leave them to the rules again."""
        self._refusing = on

    def hang_dials(self, on: bool = True) -> None:
        """Never answer dials from now on, or leave them to the rules again. Dials that hang already stay so."""
        self._hanging = on

    def set_rules(self, rules: FaultRules) -> None:
        """Follow other rules from now on, for open links as well; their times count from this moment."""
        self._plan.follow(rules, self.loop.time())
        for link in list(self._links.values()):
            if self.plan_of(link) is self._plan:
                link.obey(self._plan)

    def group(self, name: str) -> Group:
        """The links of this name, to be treated apart; the same object until `forget`."""
        if self._name_of is None:
            raise RuntimeError("this FaultProxy gives no names: it needs name_of=")
        if name not in self._groups:
            self._groups[name] = Group(self, name, self._seed)
        return self._groups[name]

    def forget(self, name: str) -> None:
        """The links of this name are like all others again. No error when there is no such group."""
        group = self._groups.pop(name, None)
        for link in self.links_named(name) if group is not None else ():
            link.obey(self._plan)

    # --- reports --------------------------------------------------------------------------------

    @property
    def stats(self) -> ProxyStats:
        """The numbers as they are now."""
        return self.stats_of(self._counts, self._links.values())

    async def until(
        self,
        condition: Callable[[ProxyStats], bool],
        timeout: float = 10.0,
    ) -> ProxyStats:
        """Wait until ``condition(stats)`` is true. TimeoutError, with the numbers, after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not condition(self.stats):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {timeout:g} s; the proxy stands at {self.stats}") from None
        return self.stats

    # --- for the links --------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop the proxy runs in."""
        if self._loop is None:
            raise RuntimeError("this FaultProxy was not started")
        return self._loop

    @property
    def rules(self) -> FaultRules:
        """What links follow that are in no group with rules of its own."""
        return self._plan.rules

    def group_of(self, link: ProxyLink) -> Group | None:
        """The group a link is in. Called by the links."""
        return self._groups.get(link.name) if link.name is not None else None

    def plan_of(self, link: ProxyLink) -> Plan:
        """The plan a link follows. Called by the groups."""
        group = self.group_of(link)
        return self._plan if group is None or group.plan is None else group.plan

    def links_named(self, name: str) -> list[ProxyLink]:
        """All links of a name, hung dials too. Called by the groups."""
        return [link for link in self._links.values() if link.name == name]

    def stats_of(self, counts: dict[str, int], links: Iterable[ProxyLink]) -> ProxyStats:
        """Counts, and the numbers of this moment. Called by the groups."""
        links = list(links)
        now = {
            "open": sum(link.phase is LinkPhase.OPEN for link in links),
            "frozen": sum(bool(link.frozen) for link in links if link.phase is LinkPhase.OPEN),
            "bytes_held": sum(link.up.held + link.down.held for link in links),
        }
        return ProxyStats(**{**counts, **now})

    def held_for(self, link: ProxyLink) -> set[Direction]:
        """What hands froze of a link. Called by the link."""
        group = self.group_of(link)
        return link.held | self.held if group is None else link.held | self.held | group.held

    def arrived(self, link: ProxyLink) -> None:
        """A dial: number it, and decide unless it has to say its name first. Called by the link."""
        self._counts["dials"] += 1
        link.number = self._counts["dials"]
        self._links[link.number] = link
        if self._name_of is None:
            self._decide(link)
        else:
            link.hear_head()

    def named(self, link: ProxyLink, head: bytes) -> None:
        """The first words of a link, or as much as there is: name it and decide. Called by the link."""
        if self._name_of is not None:
            try:
                link.name = self._name_of(head)
            except Exception as error:  # noqa: BLE001 - handed on, and the proxy goes on
                self.loop.call_exception_handler({"message": "name_of failed", "exception": error})
        if (group := self.group_of(link)) is not None:
            group.counts["dials"] += 1
        self._decide(link)

    def _decide(self, link: ProxyLink) -> None:
        group, plan = self.group_of(link), self.plan_of(link)
        verdict = plan.dial(self.loop.time())
        if group is not None and group.verdict is not None:
            verdict = group.verdict
        if self._refusing:
            verdict = DialVerdict.REFUSE
        elif self._hanging:
            verdict = DialVerdict.HANG
        if verdict is DialVerdict.REFUSE:
            link.refuse()
            self.report(link, ProxyEventKind.REFUSED)
        elif verdict is DialVerdict.HANG:
            link.hang()
            self.report(link, ProxyEventKind.HUNG)
        else:
            link.accept(plan)

    def report(
        self,
        link: ProxyLink,
        what: ProxyEventKind,
        direction: Direction | None = None,
        loses_data: bool = False,
    ) -> None:
        """Count an event and tell it. Called by the links."""
        if what.value in self._counts and what is not ProxyEventKind.FROZEN:
            self._count(link, what.value, 1)
        if what is ProxyEventKind.CLOSED:
            del self._links[link.number]
            self._watched.discard(link)
        if self._on_event is not None:
            event = ProxyEvent(self.loop.time() - self._began, link.number, what, direction, loses_data, link.name)
            try:
                self._on_event(event)
            except Exception as error:  # noqa: BLE001 - handed on, and the proxy goes on
                self.loop.call_exception_handler({"message": f"on_event failed for {event}", "exception": error})
        self._news.set()

    def tell_waiters(self) -> None:
        """Something changed that `stats` shows. Called by the links."""
        self._news.set()

    def count_delivered(self, link: ProxyLink, direction: Direction, size: int) -> None:
        """``size`` bytes went to the other side's socket. Called by the links."""
        self._count(link, "bytes_up" if direction is Direction.UP else "bytes_down", size)
        self._news.set()

    def count_lost(self, link: ProxyLink, size: int) -> None:
        """``size`` bytes will never arrive. Called by the links."""
        self._count(link, "bytes_lost", size)
        self._news.set()

    def count_unsent(self, link: ProxyLink, direction: Direction, size: int) -> None:
        """``size`` bytes counted as delivered never left the socket. Called by the links."""
        if size:
            self.count_delivered(link, direction, -size)
            self.count_lost(link, size)

    def _count(self, link: ProxyLink, what: str, amount: int) -> None:
        self._counts[what] += amount
        if (group := self.group_of(link)) is not None:
            group.counts[what] += amount

    def watch(self, link: ProxyLink) -> None:
        """Look from time to time whether a side of this link left that nobody reads. Called by the links."""
        self._watched.add(link)
        if self._watcher is None:
            self._watcher = self.loop.call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._watcher = None
        for link in [link for link in self._watched if not any(link.deaf_sides())]:
            self._watched.discard(link)
        deaf = [side for link in self._watched for side in link.deaf_sides()]
        for side, gone in hang_ups(deaf):
            side.link.noticed(side, gone)
        if self._watched:
            self._watcher = self.loop.call_later(_LOOK_EVERY, self._look)

    def _refresh(self) -> None:
        for link in list(self._links.values()):
            link.refresh()
