"""The book of positions that the trades example pushes."""

import pytest
from msgspec import json

from examples.trades.book import FOLLOWS, MOST_CLOSED, MOST_OPEN, SIGNALS, Book, Position


def everything(book: Book) -> bytes:
    return json.encode({trader: (book.rows(trader), book.closed(trader)) for trader in book.traders})


def test_the_same_seed_gives_the_same_book() -> None:
    one, same, other = Book(7), Book(7), Book(8)
    for _ in range(300):
        assert one.step() == same.step()
        other.step()
        assert everything(one) == everything(same)
    assert everything(one) != everything(other)


def test_copies_follow_their_signals() -> None:
    book = Book(3)
    copied = 0
    for _ in range(500):
        book.step()
        for trader, signals in FOLLOWS.items():
            originals = {
                (row.symbol, row.cmd, row.volume, row.opentime, signal)
                for signal in signals
                for row in book.rows(signal)
            }
            copies = [row for row in book.rows(trader) if row.flwsig]
            # Every copy has its original, and every original that was opened since has its copy.
            assert {(row.symbol, row.cmd, row.volume, row.opentime, row.sigtraderid) for row in copies} == originals
            assert all(not row.flwsig and row.sigtraderid == 0 for row in book.rows(trader) if row not in copies)
            copied += len(copies)
        assert all(not row.flwsig for signal in SIGNALS for row in book.rows(signal))
    assert copied > 500


def test_a_step_names_whose_rows_changed() -> None:
    book = Book(4)
    quiet = 0
    for _ in range(500):
        before = {trader: json.encode(book.rows(trader)) for trader in book.traders}
        changed = book.step()
        really = {trader for trader in book.traders if json.encode(book.rows(trader)) != before[trader]}
        assert really <= changed
        quiet += len(book.traders) - len(changed)
    assert quiet > 0


def test_the_book_stays_small() -> None:
    book = Book(5)
    for _ in range(5000):
        book.step()
        for trader in book.traders:
            copies = MOST_OPEN * len(FOLLOWS.get(trader, ()))
            assert len(book.rows(trader)) <= MOST_OPEN + copies
            assert len(book.closed(trader)) <= MOST_CLOSED
    assert len(book._originals) <= MOST_OPEN * sum(map(len, FOLLOWS.values()))


def test_rows_are_valued_and_closed_rows_have_a_time() -> None:
    book = Book(6)
    for _ in range(400):
        book.step()
    rows = [row for trader in book.traders for row in book.rows(trader)]
    assert any(row.profit > 0 for row in rows)
    assert any(row.profit < 0 for row in rows)
    assert all(row.closetime is None and row.price > 0 for row in rows)
    for trader in book.traders:
        times = [row.closetime or 0 for row in book.closed(trader)]
        assert times == sorted(times, reverse=True)
        assert all(times)


def test_rows_are_spelt_as_clients_expect() -> None:
    row = json.decode(json.encode(Book(1).rows(10260)[0]))
    assert {"orderid", "traderid", "symbol", "cmd", "volume", "profit", "flwsig", "sigtraderid"} <= set(row)
    assert "closetime" not in row
    assert json.decode(json.encode(row), type=Position) == Book(1).rows(10260)[0]


def test_a_trader_nobody_knows() -> None:
    with pytest.raises(KeyError):
        Book(1).rows(1)
