"""Which page may break which links: the network panel's half on the server.

A page makes up an id of 128 random bits and says it in the URL of its WebSockets (`page=ID`) and over the control
link. Only the control session that claimed an id first may use it.

Invariants, tests in ``tests/demo/test_network.py``:
- only its own links: what a page does to its network, no other page feels (test_only_its_own_links);
- ids are not to be guessed, and one that is claimed belongs to one session (test_ids_belong_to_one_session);
- how many pages there are is bounded (test_pages_are_bounded);
- a page that is gone leaves a clean network behind, after `KEPT` seconds (test_pages_expire).
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from heartline.faults import Direction, FaultProxy, FaultRules, Group
from heartline.server import Refuse, Session

MOST_PAGES = 256
MOST_OF_A_SESSION = 4
KEPT = 30.0  # seconds without a control link before a page counts as gone
_ID = r"[A-Za-z0-9_-]{22}"
_IN_HEAD = re.compile(rb"GET [^ ?]*\?(?:[^ ]*&)?page=(%b)(?:&[^ ]*)? " % _ID.encode())

PageId = Annotated[str, msgspec.Meta(pattern=f"^{_ID}$")]


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """How a page wants its network.

    `freeze`: which ways nothing gets through. `dials`: whether new connections are accepted, refused, or never
    answered. `latency`: seconds each way. `cut_every`: seconds after which links die, again and again.
    """

    page: PageId
    freeze: Literal["none", "both", "up", "down"] = "none"
    dials: Literal["accept", "refuse", "hang"] = "accept"
    latency: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    cut_every: Annotated[float, msgspec.Meta(ge=0.5, le=600)] | None = None


class Cut(msgspec.Struct, forbid_unknown_fields=True):
    """Cut all links of a page. `lose`: what is in flight is lost, too."""

    page: PageId
    lose: bool = True


class Seen(msgspec.Struct):
    """What the proxy has seen of a page's links. `held`: bytes that are stuck in it now."""

    page: str
    open: int
    frozen: int
    dials: int
    refused: int
    hung: int
    cut: int
    held: int
    lost: int


@dataclass(slots=True)
class _Owner:
    session: Session
    pages: dict[str, Seen | None] = field(default_factory=dict)  # and what it was told last
    expiry: asyncio.TimerHandle | None = None


def page_of(head: bytes) -> str | None:
    """The page a link belongs to, by the head of its request."""
    found = _IN_HEAD.match(head)
    return found[1].decode() if found else None


class Network:
    """The pages' networks."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._owners: dict[str, _Owner] = {}

    def wish(self, session: Session, wish: Wish) -> Seen:
        """Make a page's network so, and claim the page. Raises Refuse."""
        group = self._claim(session, wish.page)
        group.refuse(False)
        if wish.dials != "accept":
            (group.refuse if wish.dials == "refuse" else group.hang_dials)()
        plain = not wish.latency and wish.cut_every is None
        rules = None if plain else FaultRules(
            latency=wish.latency, jitter=wish.latency / 4, cut_every=wish.cut_every, spread=0.5
        )  # fmt: skip
        if rules != (group.plan.rules if group.plan is not None else None):
            group.set_rules(rules)
        for way in Direction:
            (group.freeze if wish.freeze in {"both", way.value} else group.thaw)(way)
        return self._seen(wish.page)

    def cut(self, session: Session, cut: Cut) -> int:
        """Cut a page's links; how many there were. Raises Refuse."""
        return self._claim(session, cut.page).cut(cut.lose)

    def news(self) -> None:
        """Tell every page what changed on its links."""
        for owner in self._owners.values():
            for page, told in owner.pages.items():
                seen = self._seen(page)
                if seen != told:
                    owner.pages[page] = seen
                    owner.session.send_now("network.seen", seen)

    def attached(self, session: Session) -> None:
        """A control session has a link."""
        owner = self._owners.get(session.id)
        if owner is not None and owner.expiry is not None:
            owner.expiry.cancel()
            owner.expiry = None
            owner.pages = dict.fromkeys(owner.pages)  # what it was told meanwhile may be lost

    def detached(self, session: Session) -> None:
        """It has lost it."""
        owner = self._owners.get(session.id)
        if owner is not None and owner.expiry is None:
            owner.expiry = asyncio.get_running_loop().call_later(KEPT, self.ended, session)

    def ended(self, session: Session) -> None:
        """It is gone: so are its pages."""
        owner = self._owners.pop(session.id, None)
        if owner is None:
            return
        if owner.expiry is not None:
            owner.expiry.cancel()
        for page in owner.pages:
            self._proxy.forget(page)

    def close(self) -> None:
        """Forget everybody."""
        for owner in list(self._owners.values()):
            self.ended(owner.session)

    def _claim(self, session: Session, page: str) -> Group:
        owner = self._owners.get(session.id)
        if owner is None or page not in owner.pages:
            if any(page in other.pages for other in self._owners.values()):
                raise Refuse("taken", "another page has this id")
            if sum(len(other.pages) for other in self._owners.values()) >= MOST_PAGES:
                raise Refuse("full", "too many pages are open")
            if owner is None:
                owner = self._owners[session.id] = _Owner(session)
            if len(owner.pages) >= MOST_OF_A_SESSION:
                raise Refuse("full", f"a page has {MOST_OF_A_SESSION} networks at most")
            owner.pages[page] = None
        return self._proxy.group(page)

    def _seen(self, page: str) -> Seen:
        group = self._proxy.group(page)
        stats = group.stats
        return Seen(
            page, stats.open, stats.frozen, stats.dials, stats.refused, stats.hung, stats.cut,
            group.stuck, stats.bytes_lost,
        )  # fmt: skip
