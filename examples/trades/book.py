"""Positions of a few traders, made up from a seed: prices wander, positions open and close, followers copy signals.

Invariants:
- the same seed gives the same book, step for step (test_the_same_seed_gives_the_same_book);
- a followed row names the signal trader whose position it copies, an own row names nobody, and the copy closes in the
  step in which the original does (test_copies_follow_their_signals);
- `step` names everybody whose rows changed, and nobody else (test_a_step_names_whose_rows_changed);
- what is kept is bounded, however long it runs (test_the_book_stays_small).
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Final

import msgspec

SYMBOLS: Final = {"EURUSD": 108_500, "GBPUSD": 127_200, "USDJPY": 14_950_000, "XAUUSD": 235_000_000}
"""Where prices begin, in points: hundred-thousandths."""
POINTS: Final = 100_000
SIGNALS: Final = (20001, 20002, 20003)
"""Who is copied."""
FOLLOWS: Final = {10260: (20001, 20002), 10261: (20003,), 10262: ()}
"""The traders of this book, and whose signals each copies."""

MOST_OPEN: Final = 4  # positions one trader opens by himself
MOST_CLOSED: Final = 50  # closed trades kept for each trader


class Position(msgspec.Struct, omit_defaults=True):
    """One row, spelt as clients of this wire expect it. Times in seconds since the book began."""

    orderid: int
    traderid: int
    symbol: str
    cmd: str
    volume: float
    openprice: float
    price: float
    profit: float
    opentime: int
    flwsig: bool
    """Whether it copies a signal."""
    sigtraderid: int
    """Whose; 0 for an own row."""
    closetime: int | None = None


@dataclass
class _Account:
    open: list[Position] = field(default_factory=list)
    closed: deque[Position] = field(default_factory=lambda: deque(maxlen=MOST_CLOSED))


class Book:
    """Everybody's positions. `step` moves it on by a second; it has no clock of its own."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)
        self._prices = dict(SYMBOLS)
        self._accounts = {trader: _Account() for trader in (*SIGNALS, *FOLLOWS)}
        self._orders = 700_000
        self._originals: dict[int, int] = {}  # a copy's order → the order it copies
        self.now = 0
        for trader in self._accounts:
            for _ in range(2):
                self._open_for(trader)

    @property
    def traders(self) -> tuple[int, ...]:
        """Everybody whose rows can be followed."""
        return tuple(self._accounts)

    def rows(self, trader: int) -> list[Position]:
        """What a trader has open, oldest first. KeyError for one the book does not know."""
        return list(self._accounts[trader].open)

    def closed(self, trader: int) -> list[Position]:
        """What he closed, newest first. KeyError for one the book does not know."""
        return list(reversed(self._accounts[trader].closed))

    def step(self) -> set[int]:
        """A second passes. Returns whose rows changed."""
        self.now += 1
        moved = self._move_prices()
        changed: set[int] = set()
        for trader, account in self._accounts.items():
            if self._random.random() < 0.08:
                changed |= self._open_or_close(trader)
            if self._revalue(account, moved):
                changed.add(trader)
        return changed

    def _move_prices(self) -> set[str]:
        moved = {symbol for symbol in self._prices if self._random.random() < 0.6}
        for symbol in sorted(moved):
            size = max(1, SYMBOLS[symbol] // 20_000)
            self._prices[symbol] = max(size, self._prices[symbol] + self._random.choice((-2, -1, 1, 2)) * size)
        return moved

    def _revalue(self, account: _Account, moved: set[str]) -> bool:
        changed = False
        for at, row in enumerate(account.open):
            if row.symbol in moved:
                account.open[at] = self._valued(row)
                changed = True
        return changed

    def _open_or_close(self, trader: int) -> set[int]:
        own = [row for row in self._accounts[trader].open if not row.flwsig]
        if len(own) < MOST_OPEN and (not own or self._random.random() < 0.5):
            return self._open_for(trader)
        return self._close(trader, self._random.choice(own))

    def _open_for(self, trader: int) -> set[int]:
        """Open a position, and its copies. Returns who has new rows."""
        symbol = self._random.choice(sorted(self._prices))
        row = self._new(trader, symbol, self._random.choice(("buy", "sell")), self._random.randint(1, 20) / 10, 0)
        followers = {one for one, signals in FOLLOWS.items() if trader in signals}
        for one in sorted(followers):
            copy = self._new(one, symbol, row.cmd, row.volume, trader)
            self._originals[copy.orderid] = row.orderid
        return followers | {trader}

    def _new(self, trader: int, symbol: str, cmd: str, volume: float, signal: int) -> Position:
        self._orders += 1
        price = self._prices[symbol] / POINTS
        followed = signal != 0
        row = Position(self._orders, trader, symbol, cmd, volume, price, price, 0.0, self.now, followed, signal)
        self._accounts[trader].open.append(row)
        return row

    def _close(self, trader: int, row: Position) -> set[int]:
        """Close a position, and its copies. Returns whose rows went."""
        gone = {trader}
        self._leave(trader, row)
        for one, signals in FOLLOWS.items():
            if trader not in signals:
                continue
            for copy in self.rows(one):
                if self._originals.get(copy.orderid) == row.orderid:
                    del self._originals[copy.orderid]
                    self._leave(one, copy)
                    gone.add(one)
        return gone

    def _leave(self, trader: int, row: Position) -> None:
        account = self._accounts[trader]
        account.open = [other for other in account.open if other.orderid != row.orderid]
        account.closed.append(msgspec.structs.replace(self._valued(row), closetime=self.now))

    def _valued(self, row: Position) -> Position:
        price = self._prices[row.symbol]
        points = price - round(row.openprice * POINTS)
        profit = points * row.volume / SYMBOLS[row.symbol] * 100_000 * (1 if row.cmd == "buy" else -1)
        return msgspec.structs.replace(row, price=price / POINTS, profit=round(profit, 2))
