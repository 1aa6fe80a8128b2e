"""A community: `python -m examples.community.server`, then dial ws://127.0.0.1:8002/community.

    {"Operator": "userLogin", "userCode": "ann-1", "userInfo": {"nickName": "Ann"}}
    {"Operator": "CreateInvitation", "isRichText": false, "Table": "Hello", "Text": "from the wire"}
    {"Operator": "GetInvitation", "mode": "time", "limt": 10, "skip": 0}
    {"Operator": "CreateInvitationComment", "id": 1, "text": "Welcome"}
    {"Operator": "LoveInvitation", "id": 1}

What others do is told to everybody who is there, as `InvitationChanged`; clients that do not know it ignore it. It is a
hint and may be lost with a link, so a client that comes back asks for its page again.

**Stored once.** This wire has no message ids, and whoever was cut off has to say things again. So:
- our own clients add `clientId` to posts and comments. The same person and `clientId` mean the same post for ever, and a
  `CreateInvitation` that has one is answered with `CreateInvitationOK`, which tells the client to stop repeating it;
- clients that speak heartline.1 need nothing: a message's id is the same each time it is said;
- for unmodified clients a post is the same if person, content, and how many times that content was said on its link are
  the same as in the last `same_within` seconds. So two equal comments in a row are two, and both said again on the next
  link stay two. Its limits: who is cut off, comes back, and writes the very same words on purpose within that time has
  written them once; and what an unmodified client repeats later than that is stored again.

`CreateInvitation` of an unmodified client gets no answer, as always. A refusal ("CreateInvitationError" and so on) is
news to such clients, and ignored by them.

Invariants:
- a repeat is stored once (test_said_again_after_a_reconnect_is_stored_once);
- nothing is stored for who is not logged in or blacklisted (test_the_blacklist, test_before_the_login_nothing_counts);
- an operator nobody wrote a handler for calls nothing (test_operators_named_like_methods_call_nothing).
"""

import argparse
import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import heartline
from heartline import Identity, Message, Refuse, Request, Session

from ..database import in_sql  # noqa: TID252 - the examples are installed under another name
from . import wechat
from .store import Once, Row, Store, now
from .wire import MOST_ROWS, Credentials, Draft, Love, Query, Remark, digest, number, person_info, without_zeros

CODE_LASTS = 3600_000
"""Milliseconds for which a login code that was exchanged is accepted again."""
MOST_SAID = 1_000
"""Contents of one link whose number is remembered, for clients that have no `clientId`."""
NATIVE = "/community/native"


def build(
    folder: Path,
    *,
    database: str | None = None,
    code2session: str | None = None,
    app_id: str = "",
    secret: str = "",
    same_within: float = 300.0,
) -> heartline.Server:
    """The application. Without `code2session` a stand-in lets everybody be whoever they say, and o-mallory is banned."""
    app = heartline.Server(path=NATIVE)
    app.speak("/community", "community")
    community = Community(app, round(same_within * 1000))
    running = AsyncExitStack()

    @app.startup
    async def begin() -> None:
        community.store = await asyncio.to_thread(Store, database or f"sqlite:///{folder / 'community.db'}")
        running.callback(community.store.close)
        address = code2session
        if address is None:
            stand_in = await running.enter_async_context(wechat.stand_in().serving())
            address = f"{stand_in.http_url}sns/jscode2session"
            await asyncio.to_thread(community.store.ban, "o-mallory", "Mallory was asked to leave")
        community.wechat = wechat.WeChat(address, app_id, secret)

    @app.shutdown
    async def end() -> None:
        await running.aclose()

    app.login(community.login)
    app.on("CreateInvitation")(community.create)
    app.on("CreateInvitationComment")(community.comment)
    app.on("LoveInvitation")(community.love)
    app.on("GetInvitation")(community.get)
    return app


class Community:
    """The handlers, one for each operator."""

    store: Store
    wechat: wechat.WeChat

    def __init__(self, app: heartline.Server, same_within: int) -> None:
        self._app = app
        self._same_within = same_within  # milliseconds

    async def login(self, said: Credentials, request: Request) -> Identity:
        hashed = digest(said.code)
        open_id = await in_sql(self.store.who_had, hashed)
        if open_id is None:
            open_id = await asyncio.to_thread(self.wechat.open_id, said.code)
            await in_sql(self.store.remember, hashed, open_id, CODE_LASTS)
        banned = await in_sql(self.store.enter, open_id, *person_info(said.info))
        if banned is not None:
            raise Refuse("banned", banned)
        return Identity(open_id, user={"native": request.path == NATIVE}, say={"openId": open_id})

    async def create(self, session: Session, message: Message, draft: Draft) -> Row | None:
        once = self.once(session, message, draft.client_id, "post", draft.rich, draft.title, draft.image, draft.text)
        post, new = await in_sql(self.store.post, once, draft.cleaned())
        if new:
            self.tell_others(session, {"what": "post", "id": post["id"], "data": post})
        return {"data": post} if draft.client_id or session.user["native"] else None

    async def comment(self, session: Session, message: Message, remark: Remark) -> Row:
        invitation = number(remark.id, "id")
        once = self.once(session, message, remark.client_id, "comment", invitation, remark.text)
        comment, new = await in_sql(self.store.comment, once, invitation, without_zeros(remark.text))
        if new:
            self.tell_others(session, {"what": "comment", "id": invitation, "data": comment})
        return {"data": comment}

    async def love(self, session: Session, like: Love) -> Row:
        invitation = number(like.id, "id")
        likes, new = await in_sql(self.store.love, session.identity, invitation)
        if new:
            self.tell_others(session, {"what": "love", "id": invitation, "love": likes})
        return {"id": invitation, "love": likes}

    async def get(self, session: Session, query: Query) -> Row:
        if query.by_id:
            rows = await in_sql(self.store.one, number(query.id, "id"), session.identity)
        else:
            before = number(query.time, "time", default=now(), largest=2**53)
            limit = min(number(query.limt, "limt", default=20), MOST_ROWS)
            skip = number(query.skip, "skip", default=0)
            rows = await in_sql(self.store.page, before, limit, skip, session.identity)
        return {"data": rows, "serverTime": now()}

    def once(self, session: Session, message: Message, client_id: str | None, *content: object) -> Once:
        """What this message is called, so that saying it again is no news: see the top of this file."""
        if client_id:
            return Once(session.identity, f"{content[0]}:{client_id}")
        if session.user["native"]:
            return Once(session.identity, message.id)
        name, at, lasts = digest(*content), now(), self._same_within
        said: dict[str, tuple[int, int]] = session.state.setdefault("said", {})
        times, since = said.pop(name, (0, at))
        if at - since >= lasts:
            times, since = 0, at
        said[name] = (times + 1, since)
        if len(said) > MOST_SAID:
            del said[next(iter(said))]
        return Once(session.identity, f"{name}:{times}", lasts)

    def tell_others(self, session: Session, change: Row) -> None:
        for other in self._app.sessions():
            if other is not session:
                other.send_now("InvitationChanged", change)


def main() -> None:
    """Serve the community alone, or change its blacklist."""
    given = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m examples.community.server", description="A community in SQL.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--database", default=given("COMMUNITY_DATABASE", "sqlite:///community.db"))
    parser.add_argument(
        "--code2session", default=given("COMMUNITY_CODE2SESSION"), help="where login codes are exchanged"
    )
    parser.add_argument("--same-within", type=float, default=300.0, help="seconds; see the module's docstring")
    parser.add_argument("--ban", metavar="OPENID", help="blacklist somebody, and end")
    parser.add_argument("--unban", metavar="OPENID", help="take somebody from the blacklist, and end")
    options = parser.parse_args()
    if options.ban or options.unban:
        store = Store(options.database)
        (store.ban if options.ban else store.unban)(options.ban or options.unban)
        return
    app_id, secret = given("WECHAT_APPID", ""), given("WECHAT_SECRET", "")
    address = options.code2session or (wechat.URL if app_id else None)
    if address is None:
        print("everybody may be anybody: set WECHAT_APPID and WECHAT_SECRET for real logins")
    app = build(
        Path.cwd(),
        database=options.database,
        code2session=address,
        app_id=app_id,
        secret=secret,
        same_within=options.same_within,
    )
    app.run(options.host, options.port, ready=lambda at: print(f"ws://{at.host}:{at.port}/community", flush=True))


if __name__ == "__main__":
    main()
