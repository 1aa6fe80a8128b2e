"""What the community keeps, in SQL: SQLite, or PostgreSQL.

Whoever was cut off says things again, since nobody can know whether they arrived. So each post and comment comes with a
name for itself, `Once`, stored in one transaction with what it names: the second time the name is there, nothing is
stored, and the answer is that of the first time. A like is a row of its own kind, one for each person and post.

Invariants:
- what was said twice is stored once, also by two links at the same moment (test_two_links_say_the_same_at_once);
- what was answered is on disk (test_killed_and_restarted);
- nothing here leaves half of what it began (test_a_repeat_leaves_no_trace).

Methods block: call them in a thread. Times are milliseconds since 1970.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from heartline import Refuse

from ..database import open_engine  # noqa: TID252 - the examples are installed under another name
from .wire import Draft

Row = dict[str, Any]
MOST_COMMENTS = 200


class Base(DeclarativeBase):
    """All tables."""


class Person(Base):
    __tablename__ = "people"
    open_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    avatar: Mapped[str] = mapped_column(default="")


class Banned(Base):
    __tablename__ = "blacklist"
    open_id: Mapped[str] = mapped_column(primary_key=True)
    why: Mapped[str] = mapped_column(default="")


class Code(Base):
    """Login codes that were exchanged, hashed: WeChat takes each once, and a client that reconnects may repeat it."""

    __tablename__ = "codes"
    code: Mapped[str] = mapped_column(primary_key=True)
    open_id: Mapped[str]
    until: Mapped[int] = mapped_column(BigInteger, index=True)


class Invitation(Base):
    __tablename__ = "invitations"
    id: Mapped[int] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(ForeignKey(Person.open_id))
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    rich: Mapped[bool | None]
    title: Mapped[str | None]
    image: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    text: Mapped[str | None]


class Comment(Base):
    __tablename__ = "comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    invitation: Mapped[int] = mapped_column(ForeignKey(Invitation.id), index=True)
    author: Mapped[str] = mapped_column(ForeignKey(Person.open_id))
    at: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str]


class Like(Base):
    __tablename__ = "likes"
    invitation: Mapped[int] = mapped_column(ForeignKey(Invitation.id), primary_key=True)
    person: Mapped[str] = mapped_column(ForeignKey(Person.open_id), primary_key=True)


class Said(Base):
    """What was said already. `until`: when it may be said anew; never, if None. `made`: the row it made."""

    __tablename__ = "said"
    person: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[int | None] = mapped_column(BigInteger, index=True)
    made: Mapped[int | None]


@dataclass(frozen=True)
class Once:
    """Who says it, what it is called, and for how many milliseconds that name means the same; None: for ever."""

    person: str
    name: str
    lasts: int | None = None


class Store:
    """One database: "sqlite:////path/to/file.db" or "postgresql://user@host/name".

    Raises what `open_engine` does, and SQLAlchemy's errors where it cannot be had.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._insert: Any = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        Base.metadata.create_all(self._engine)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    # people

    def enter(self, open_id: str, name: str, avatar: str) -> str | None:
        """Somebody logs in. Returns why they may not, or None."""
        with Session(self._engine) as db, db.begin():
            known = self._insert(Person).values(open_id=open_id, name=name, avatar=avatar)
            given = {"name": name, "avatar": avatar} if name else {"name": Person.name}
            db.execute(delete(Said).where(Said.person == open_id, Said.until <= now()))
            db.execute(known.on_conflict_do_update(index_elements=[Person.open_id], set_=given))
            return db.scalar(select(Banned.why).where(Banned.open_id == open_id))

    def ban(self, open_id: str, why: str = "") -> None:
        """Blacklist somebody, known or not."""
        with Session(self._engine) as db, db.begin():
            row = self._insert(Banned).values(open_id=open_id, why=why)
            db.execute(row.on_conflict_do_update(index_elements=[Banned.open_id], set_={"why": why}))

    def unban(self, open_id: str) -> None:
        """Take somebody from the blacklist."""
        with Session(self._engine) as db, db.begin():
            db.execute(delete(Banned).where(Banned.open_id == open_id))

    def who_had(self, code: str) -> str | None:
        """Whose login code this was, if it is remembered."""
        with Session(self._engine) as db:
            return db.scalar(select(Code.open_id).where(Code.code == code, Code.until > now()))

    def remember(self, code: str, open_id: str, lasts: int) -> None:
        """Remember a login code, hashed; forget those that are too old."""
        with Session(self._engine) as db, db.begin():
            db.execute(delete(Code).where(Code.until <= now()))
            db.merge(Code(code=code, open_id=open_id, until=now() + lasts))

    # saying something

    def post(self, once: Once, draft: Draft) -> tuple[Row, bool]:
        """Store a post. Returns it, and whether it is new."""
        with Session(self._engine) as db, db.begin():
            made, new = self._claim(db, once)
            if new:
                row = Invitation(author=once.person, at=now(), rich=draft.rich)
                row.title, row.image, row.text = draft.title, draft.image, draft.text
                made = self._made(db, once, row)
            return self._invitations(db, [made], once.person)[0], new

    def comment(self, once: Once, invitation: int, text: str) -> tuple[Row, bool]:
        """Store a comment. Returns it, and whether it is new. `Refuse` where there is no such post."""
        with Session(self._engine) as db, db.begin():
            made, new = self._claim(db, once)
            if new:
                _exists(db, invitation)
                made = self._made(db, once, Comment(invitation=invitation, author=once.person, at=now(), text=text))
            return self._comments(db, Comment.id == made)[0], new

    def love(self, person: str, invitation: int) -> tuple[int, bool]:
        """Like a post. Returns how many do, and whether this is news. `Refuse` where there is no such post."""
        with Session(self._engine) as db, db.begin():
            _may_write(db, person)
            _exists(db, invitation)
            row = self._insert(Like).values(invitation=invitation, person=person)
            new = db.execute(row.on_conflict_do_nothing().returning(Like.person)).first() is not None
            return db.scalar(select(func.count()).where(Like.invitation == invitation)) or 0, new

    def _claim(self, db: Session, once: Once) -> tuple[int, bool]:
        """Whether this is said for the first time. The database decides: of two at once the second waits here."""
        at = now()
        until = None if once.lasts is None else at + once.lasts
        row = self._insert(Said).values(person=once.person, name=once.name, until=until)
        row = row.on_conflict_do_update(
            index_elements=[Said.person, Said.name], set_={"until": until, "made": None}, where=Said.until <= at
        )
        if db.execute(row.returning(Said.name)).first() is None:
            return db.scalar(select(Said.made).where(Said.person == once.person, Said.name == once.name)) or 0, False
        _may_write(db, once.person)
        return 0, True

    def _made(self, db: Session, once: Once, row: Invitation | Comment) -> int:
        db.add(row)
        db.flush()
        claim = update(Said).where(Said.person == once.person, Said.name == once.name)
        db.execute(claim.values(made=row.id))
        return row.id

    # reading

    def one(self, invitation: int, viewer: str) -> list[Row]:
        """A post with its comments, in a list; the list is empty where there is none."""
        with Session(self._engine) as db:
            rows = self._invitations(db, [invitation], viewer)
            for row in rows:
                row["comments"] = self._comments(db, Comment.invitation == invitation)
            return rows

    def page(self, before: int, limit: int, skip: int, viewer: str) -> list[Row]:
        """Posts made at `before` or earlier, newest first, without `skip` of them."""
        with Session(self._engine) as db:
            found = select(Invitation.id).where(Invitation.at <= before)
            found = found.order_by(Invitation.at.desc(), Invitation.id.desc()).limit(limit).offset(skip)
            return self._invitations(db, db.scalars(found).all(), viewer)

    def _invitations(self, db: Session, ids: Sequence[int], viewer: str) -> list[Row]:
        likes = _counts(db, Like.invitation, ids)
        comments = _counts(db, Comment.invitation, ids)
        loved = set(db.scalars(select(Like.invitation).where(Like.invitation.in_(ids), Like.person == viewer)))
        found = db.execute(
            select(Invitation, Person).join(Person, Person.open_id == Invitation.author).where(Invitation.id.in_(ids))
        ).all()
        rows = {
            post.id: _without_none(
                {
                    "id": post.id,
                    "time": post.at,
                    "isRichText": post.rich,
                    "Table": post.title,
                    "Image": post.image,
                    "Text": post.text,
                    "userInfo": _about(person),
                    "love": likes.get(post.id, 0),
                    "loved": post.id in loved,
                    "commentCount": comments.get(post.id, 0),
                }
            )
            for post, person in found
        }
        return [rows[one] for one in ids if one in rows]

    def _comments(self, db: Session, condition: Any) -> list[Row]:
        """The newest that fit, oldest first."""
        found = select(Comment, Person).join(Person, Person.open_id == Comment.author).where(condition)
        rows = db.execute(found.order_by(Comment.id.desc()).limit(MOST_COMMENTS)).all()
        return [
            {"id": one.id, "invitation": one.invitation, "time": one.at, "text": one.text, "userInfo": _about(person)}
            for one, person in reversed(rows)
        ]


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _may_write(db: Session, person: str) -> None:
    if db.get(Banned, person) is not None:
        raise Refuse("banned", "you may not write here any more")


def _exists(db: Session, invitation: int) -> None:
    if db.get(Invitation, invitation) is None:
        raise Refuse("unknown_invitation", f"there is no post {invitation}")


def _counts(db: Session, column: Any, ids: Sequence[int]) -> dict[int, int]:
    found = select(column, func.count()).where(column.in_(ids)).group_by(column)
    return {row[0]: row[1] for row in db.execute(found)}


def _about(person: Person) -> Row:
    """What others see of somebody: never the openId, which is for them alone."""
    return {"nickName": person.name, "avatarUrl": person.avatar}


def _without_none(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}
