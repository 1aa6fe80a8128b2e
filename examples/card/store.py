"""Which card is bound to whom, in SQL.

Invariant: binding is one statement, and a card has one row: bound twice, it is bound once, also by two links at the same
moment (test_binding_twice_does_not_bind_twice).

Methods block: call them in a thread.
"""

import time
from typing import Any

from sqlalchemy import BigInteger, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from ..database import open_engine  # noqa: TID252 - the examples are installed under another name

Row = dict[str, Any]


class Base(DeclarativeBase):
    """All tables."""


class Card(Base):
    __tablename__ = "cards"
    card: Mapped[str] = mapped_column(primary_key=True)
    business: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    """The identity that bound it."""
    phone: Mapped[str]
    member: Mapped[str]
    business_name: Mapped[str]
    base: Mapped[str]
    bound_at: Mapped[int] = mapped_column(BigInteger)
    """Milliseconds since 1970."""
    said: Mapped[int]
    """How often it was asked for: at least once a link."""


class Store:
    """One database: "sqlite:///file.db" or "postgresql://user@host/name"."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._insert: Any = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        Base.metadata.create_all(self._engine)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    def bind(self, owner: str, card: str, business: str, **details: str) -> Row | None:
        """Bind a card and return it; None where it is somebody else's."""
        at = time.time_ns() // 1_000_000
        row = self._insert(Card).values(card=card, business=business, owner=owner, bound_at=at, said=1, **details)
        row = row.on_conflict_do_update(
            index_elements=[Card.card, Card.business],
            set_={**details, "said": Card.said + 1},
            where=Card.owner == owner,
        )
        with Session(self._engine) as db, db.begin():
            stored = db.scalars(row.returning(Card)).first()
            return None if stored is None else _shown(stored)

    def cards(self, owner: str) -> list[Row]:
        """What is bound to somebody, in the order of binding."""
        with Session(self._engine) as db:
            found = select(Card).where(Card.owner == owner).order_by(Card.bound_at, Card.card).limit(100)
            return [_shown(card) for card in db.scalars(found)]


def _shown(card: Card) -> Row:
    return {
        "cardId": card.card,
        "BusinessID": card.business,
        "phone": card.phone,
        "memberId": card.member,
        "BusinessName": card.business_name,
        "baseId": card.base,
        "boundAt": card.bound_at,
        "said": card.said,
    }
