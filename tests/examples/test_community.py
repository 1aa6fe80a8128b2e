"""The community's server, spoken to by clients that know nothing but the wire, over SQLite and PostgreSQL."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from examples.community.server import build
from examples.community.store import Store
from examples.community.wechat import stand_in
from heartline import Request, Respond, Server
from tests.examples.conftest import PostgreSQL
from tests.examples.kit import Client, Message, Program, dial, on_loop, running, serving

MODULE = "examples.community.server"
_codes = iter(range(1, 10_000))


def code_of(name: str) -> str:
    return f"{name}-{next(_codes)}"


def serving_community(database: str, **options: Any) -> AbstractAsyncContextManager[str]:
    """The community in this process; its files, if any, are the database's."""
    return serving(build(Path("nowhere"), database=database, **options), "/community")


@asynccontextmanager
async def login(url: str, name: str, code: str | None = None) -> AsyncIterator[Client]:
    """A client that is logged in."""
    async with dial(url) as client:
        info = {"nickName": name.title(), "avatarUrl": ""}
        await client.say({"Operator": "userLogin", "userCode": code or code_of(name), "userInfo": info})
        assert await client.hear() == {"Operator": "LoginOK", "openId": f"o-{name}"}
        yield client


async def page(client: Client, **more: object) -> list[Message]:
    query = {"Operator": "GetInvitation", "mode": "time", "limt": 100, "skip": 0, **more}
    rows: list[Message] = (await client.ask(query, Operator="GetInvitationOK"))["data"]
    return rows


async def beat(client: Client) -> None:
    """Everything said before it was heard: one session's messages are handled in order."""
    await client.ask({"Operator": "GetInvitation", "mode": "time", "limt": 1}, Operator="GetInvitationOK")


def titles(rows: list[Message]) -> list[str]:
    return [row["Table"] for row in reversed(rows)]


# the wire


@on_loop
async def test_the_wire(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        assert await ann.ask({"Operator": "Heart"}) == {"Operator": "HeartOK"}
        await ann.say(
            {"Operator": "CreateInvitation", "isRichText": True, "Table": "Tea", "Image": "", "Text": "<b>5</b>"}
        )
        listed = await ann.ask({"Operator": "GetInvitation", "mode": "time", "limt": 10, "skip": 0})
        assert set(listed) == {"Operator", "data", "serverTime"}  # and the post was answered by nothing
        (post,) = listed["data"]
        assert (post["Table"], post["isRichText"], post["Text"], post["Image"]) == ("Tea", True, "<b>5</b>", "")
        assert 0 <= listed["serverTime"] - post["time"] < 60_000
        comment = await ann.ask({"Operator": "CreateInvitationComment", "id": post["id"], "text": "Milk?"})
        assert comment["Operator"] == "CreateInvitationCommentOK"
        assert comment["data"]["text"] == "Milk?"
        assert (await ann.ask({"Operator": "LoveInvitation", "id": post["id"]}))["Operator"] == "LoveInvitationOK"
        one = await ann.ask({"Operator": "GetInvitation", "id": str(post["id"])})
        assert one["data"][0]["comments"] == [comment["data"]]
        assert (one["data"][0]["love"], one["data"][0]["loved"], one["data"][0]["commentCount"]) == (1, True, 1)
        assert "openId" not in json.dumps(one)


@on_loop
async def test_undefined_fields_are_absent(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        await ann.say({"Operator": "CreateInvitation", "Text": "only this"})
        (post,) = await page(ann)
        assert {"isRichText", "Table", "Image"}.isdisjoint(post)
        assert (await ann.ask({"Operator": "GetInvitation"}, Operator="GetInvitationOK"))["data"] == [post]


@on_loop
async def test_pages_by_time(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        for n in range(7):
            await ann.say({"Operator": "CreateInvitation", "Table": str(n)})
        assert titles(await page(ann, limt=3)) == ["4", "5", "6"]
        assert titles(await page(ann, limt="3", skip="6")) == ["0"]
        assert await page(ann, skip=7) == []
        now = (await ann.ask({"Operator": "GetInvitation", "mode": "time"}))["serverTime"]
        assert len(await page(ann, time=now)) == 7
        assert await page(ann, time=1) == []
        for odd in ({"limt": -1}, {"limt": "many"}, {"skip": 1e300}, {"time": []}, {"id": "x", "mode": "id"}):
            refused = await ann.ask({"Operator": "GetInvitation", **odd})
            assert (refused["Operator"], refused["code"]) == ("GetInvitationError", "invalid"), odd


@on_loop
async def test_two_in_flight_are_answered_in_order(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        for title in "ab":
            await ann.say({"Operator": "CreateInvitation", "Table": title})
        newest, oldest = await page(ann)
        for _ in range(5):
            await ann.say({"Operator": "GetInvitation", "id": oldest["id"]})
            await ann.say({"Operator": "GetInvitation", "id": newest["id"]})
        answers = [(await ann.hear())["data"][0]["Table"] for _ in range(10)]
        assert answers == ["a", "b"] * 5


@on_loop
async def test_what_comes_with_the_login_waits_for_it(database: str) -> None:
    """A buffer that is sent as soon as the socket is open is stored in the order in which it was sent."""
    async with serving_community(database) as url, dial(url) as eager:
        await eager.say({"Operator": "userLogin", "userCode": code_of("ann"), "userInfo": {}})
        for n in range(20):
            await eager.say({"Operator": "CreateInvitation", "Table": str(n)})
        await eager.hear(Operator="LoginOK")
        assert titles(await page(eager)) == [str(n) for n in range(20)]


# stored once


@on_loop
async def test_said_again_after_a_reconnect_is_stored_once(database: str) -> None:
    post = {"Operator": "CreateInvitation", "isRichText": False, "Table": "Tea", "Text": "at five"}
    async with serving_community(database) as url:
        async with login(url, "ann") as ann:
            await ann.say(post)
            (stored,) = await page(ann)
            comment = {"Operator": "CreateInvitationComment", "id": stored["id"], "text": "+1"}
            first = [(await ann.ask(comment))["data"]["id"] for _ in range(2)]
            assert len(set(first)) == 2  # said twice on one link, meant twice
            await ann.say({"Operator": "LoveInvitation", "id": stored["id"]})
            await ann.cut()
        async with login(url, "ann") as ann:
            await ann.say(post)
            assert [(await ann.ask(comment))["data"]["id"] for _ in range(2)] == first
            assert (await ann.ask({"Operator": "LoveInvitation", "id": stored["id"]}))["love"] == 1
            (row,) = await page(ann)
            assert (row["id"], row["commentCount"], row["love"]) == (stored["id"], 2, 1)
            await ann.ask(comment)
            assert (await page(ann))[0]["commentCount"] == 3  # a third time on one link is news
        async with login(url, "bob") as bob:
            await bob.say(post)
            assert len(await page(bob)) == 2  # somebody else's words are somebody else's


@on_loop
async def test_a_client_id_means_the_same_for_ever(database: str) -> None:
    post = {"Operator": "CreateInvitation", "Table": "Tea", "clientId": "c-1"}
    async with serving_community(database, same_within=0.001) as url:
        async with login(url, "ann") as ann:
            first = await ann.ask(post, Operator="CreateInvitationOK")
            again = await ann.ask(post, Operator="CreateInvitationOK")
            assert again["data"] == first["data"]
            comment = {"Operator": "CreateInvitationComment", "id": first["data"]["id"], "text": "x", "clientId": "c-1"}
            assert await ann.ask(comment) == await ann.ask(comment)
        async with login(url, "ann") as ann, login(url, "bob") as bob:
            assert await ann.ask(post, Operator="CreateInvitationOK") == {
                **first,
                "data": first["data"] | {"commentCount": 1},
            }
            await bob.ask(post, Operator="CreateInvitationOK")
            assert len(await page(bob)) == 2  # a name is one person's own


@on_loop
async def test_unmodified_clients_may_say_it_anew_later(database: str) -> None:
    post = {"Operator": "CreateInvitation", "Table": "Good morning"}
    async with serving_community(database, same_within=0.3) as url:
        for count in (1, 2):
            async with login(url, "ann") as ann:
                await ann.say(post)
                assert len(await page(ann)) == count
            await asyncio.sleep(0.4)  # the thing itself: that time passes


@on_loop
async def test_killed_and_restarted(database: str) -> None:
    """Comments are said until they are answered, through kills at odd moments; then each is there once, in order."""
    random = Random(7)
    wanted = [f"comment {n}" for n in range(60)]
    async with running(MODULE, "--database", database) as server:
        async with login(server.url, "ann") as ann:
            await ann.say({"Operator": "CreateInvitation", "Table": "Tea"})
            (post,) = await page(ann)
        answered: list[str] = []
        kills = 0
        while len(answered) < len(wanted):
            async with login(server.url, "bob") as bob:
                await _say_on(bob, post["id"], wanted, answered, stop_after=random.randint(1, 15))
                if kills < 4:
                    kills += 1
                    await server.kill()  # the link is open, and some of it is being stored
                    await server.start()
        async with login(server.url, "ann") as ann:
            (row,) = (await ann.ask({"Operator": "GetInvitation", "id": post["id"]}))["data"]
    assert [comment["text"] for comment in row["comments"]] == wanted
    assert kills == 4


async def _say_on(client: Client, post: int, wanted: list[str], answered: list[str], stop_after: int) -> None:
    """Say all that was not answered, at once; leave without reading more after some answers."""
    for text in wanted[len(answered) :]:
        await client.say({"Operator": "CreateInvitationComment", "id": post, "text": text})
    for _ in range(min(stop_after, len(wanted) - len(answered))):
        answer = await client.hear(Operator="CreateInvitationCommentOK")
        assert answer["data"]["text"] == wanted[len(answered)]
        answered.append(answer["data"]["text"])


@on_loop
async def test_postgresql_restarts(postgresql: PostgreSQL) -> None:
    async with serving_community(postgresql.new()) as url, login(url, "ann") as ann:
        await beat(ann)
        postgresql.stop()
        for n in range(5):
            await ann.say({"Operator": "CreateInvitation", "Table": str(n)})
        await asyncio.to_thread(postgresql.start)
        assert titles(await page(ann)) == ["0", "1", "2", "3", "4"]


@on_loop
async def test_a_database_that_is_away(postgresql: PostgreSQL) -> None:
    async with serving_community(postgresql.new()) as url, login(url, "ann") as ann:
        await beat(ann)
        postgresql.stop()
        try:
            refused = await ann.ask({"Operator": "CreateInvitation", "Table": "lost", "clientId": "1"})
            assert (refused["Operator"], refused["code"]) == ("CreateInvitationError", "busy")
            assert await ann.ask({"Operator": "Heart"}) == {"Operator": "HeartOK"}
        finally:
            await asyncio.to_thread(postgresql.start)
        assert await page(ann) == []


# who somebody is


@asynccontextmanager
async def fake_wechat(answer: bytes, status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    """An address that answers every code the same, and what it was asked."""
    app, asked = Server(), []

    @app.page("/code2session")
    def page(request: Request) -> Respond:
        asked.append(request.query)
        return Respond(status, answer, "application/json")

    async with app.serving() as address:
        yield f"{address.http_url}code2session", asked


@on_loop
async def test_login_errors_are_told(database: str) -> None:
    async with serving_community(database) as url:
        for code in ("wrong", "", 5, None):
            async with dial(url) as client:
                await client.say({"Operator": "userLogin", "userCode": code, "userInfo": {}})
                told = await client.hear()
                assert told["Operator"] == "LoginError"
                assert isinstance(told["msg"], str)
                await client.ended()


@on_loop
async def test_the_blacklist(database: str) -> None:
    async with serving_community(database) as url, login(url, "bob") as bob:
        async with dial(url) as mallory:
            await mallory.say({"Operator": "userLogin", "userCode": code_of("mallory"), "userInfo": {}})
            assert (await mallory.hear())["Operator"] == "BanLogin"
            await mallory.ended()
        store = Store(database)
        await asyncio.to_thread(store.ban, "o-bob", "rude")
        await bob.say({"Operator": "CreateInvitation", "Table": "I am still here"})
        assert (await bob.hear())["code"] == "banned"
        async with login(url, "ann") as ann:
            assert await page(ann) == []
        store.close()


@on_loop
async def test_a_second_login_on_the_same_link(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        again = {"Operator": "userLogin", "userCode": code_of("ann"), "userInfo": {}}
        assert await ann.ask(again) == {"Operator": "LoginOK", "openId": "o-ann"}
        assert (await ann.ask({**again, "userCode": code_of("bob")}))["Operator"] == "LoginError"  # somebody else
        await ann.say({"Operator": "CreateInvitation", "Table": "still Ann"})
        assert (await page(ann))[0]["userInfo"]["nickName"] == "Ann"


@on_loop
async def test_an_open_id_is_not_believed(database: str) -> None:
    async with serving_community(database) as url, dial(url) as client:
        await client.say({"Operator": "userLogin", "userCode": code_of("bob"), "userInfo": {}, "userOpenId": "o-ann"})
        assert (await client.hear())["openId"] == "o-bob"


@on_loop
async def test_a_code_may_be_said_again_after_a_reconnect(database: str) -> None:
    """WeChat takes a code once; a client that kept it is known by it for an hour, also by a restarted server."""
    async with running(MODULE, "--database", database) as server:
        code = code_of("ann")
        for _ in range(2):
            async with login(server.url, "ann", code):
                pass
            await server.kill()
            await server.start()


@on_loop
async def test_what_wechat_is_asked(tmp_path: Path) -> None:
    async with fake_wechat(b'{"openid": "o-ann", "session_key": "k"}') as (address, asked):
        environ = {"WECHAT_APPID": "wx1", "WECHAT_SECRET": "top secret"}
        options = ("--database", f"sqlite:///{tmp_path / 'x.db'}", "--code2session", address)
        async with running(MODULE, *options, environ=environ) as server:
            async with login(server.url, "ann", "the+code&x=1"):
                pass
            assert b"secret" not in server.said
    assert asked == ["appid=wx1&secret=top+secret&grant_type=authorization_code&js_code=the%2Bcode%26x%3D1"]


async def heard_at_login(address: str, folder: Path) -> list[Message]:
    """What is said to somebody who logs in while code2session is out of order."""
    options = {"code2session": address, "app_id": "wx1", "secret": "top-secret"}
    async with serving_community(f"sqlite:///{folder / 'x.db'}", **options) as url, dial(url) as client:
        await client.say({"Operator": "userLogin", "userCode": "secret-code", "userInfo": {}})
        await client.ended()
        return client.heard


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b'{"errcode": -1}', 200), (b'{"errcode": 45011}', 200), (b"<html>", 200), (b"{}", 502), (b'{"openid": 5}', 200)],
)
@on_loop
async def test_an_outage_turns_nobody_away(answer: bytes, status: int, tmp_path: Path) -> None:
    async with fake_wechat(answer, status) as (address, _):
        assert await heard_at_login(address, tmp_path) == []  # no LoginError, which would be for good, and no modal


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "http://name.invalid/"])
@on_loop
async def test_secrets_are_not_told(address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    assert await heard_at_login(address, tmp_path) == []
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert any("code2session does not answer" in line for line in ours)
    assert not any("secret" in line for line in ours)


@on_loop
async def test_the_stand_in_takes_a_code_once() -> None:
    async with stand_in().serving() as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        got = []
        for _ in range(2):
            writer.write(b"GET /sns/jscode2session?js_code=ann-1 HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            got.append(json.loads(await reader.readexactly(length)))
            writer.close()
            reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
    assert [one.get("openid", one.get("errcode")) for one in got] == ["o-ann", 40163]


# who disturbs whom


@on_loop
async def test_before_the_login_nothing_counts(database: str) -> None:
    async with serving_community(database) as url, dial(url) as nobody:
        await nobody.say({"Operator": "CreateInvitation", "Table": "I am nobody", "clientId": "1"})
        await nobody.say({"Operator": "GetInvitation"})
        await nobody.say({"Operator": "Heart"})
        async with login(url, "ann") as ann:
            assert await page(ann) == []
        assert all("data" not in heard for heard in nobody.heard)


METHODS = [
    "toString",
    "constructor",
    "__proto__",
    "hasOwnProperty",
    "__class__",
    "login",
    "create",
    "once",
    "tell_others",
]


@on_loop
async def test_operators_named_like_methods_call_nothing(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        for name in [*METHODS, "NoSuchThing", "", "CreateInvitationOK", "LoginOK", "InvitationChanged"]:
            await ann.say({"Operator": name, "id": 1, "text": "x", "data": {}})
        assert await ann.ask({"Operator": "Heart"}) == {"Operator": "HeartOK"}  # and nothing else came
        assert await page(ann) == []


RUBBISH: list[str | bytes] = [
    "",
    "not json",
    "null",
    "[]",
    "5",
    '"Heart"',
    "{",
    "{}",
    '{"Operator": null}',
    '{"Operator": 5}',
    '{"Operator": ["Heart"]}',
    '{"Operator": {"Operator": "Heart"}}',
    '{"__proto__": {"x": 1}, "Operator": "CreateInvitation"}',
    '{"Operator": "CreateInvitation"}',
    '{"Operator": "CreateInvitation", "Table": 5}',
    '{"Operator": "CreateInvitation", "Table": "\\ud800"}',
    '{"Operator": "CreateInvitation", "Text": "' + "x" * 30_000 + '"}',
    '{"Operator": "CreateInvitationComment"}',
    '{"Operator": "CreateInvitationComment", "id": 1e400, "text": "x"}',
    '{"Operator": "CreateInvitationComment", "id": 99999999999999999999, "text": "x"}',
    '{"Operator": "CreateInvitationComment", "id": 4000000000, "text": "x"}',
    '{"Operator": "CreateInvitationComment", "id": 777, "text": "x"}',
    '{"Operator": "LoveInvitation", "id": -1}',
    '{"Operator": "LoveInvitation", "id": true}',
    '{"Operator": "LoveInvitation", "id": "1; DROP TABLE likes"}',
    '{"Operator": "GetInvitation", "id": {}}',
    '{"Operator": "userLogin"}',
    "[" * 5_000,
    '{"Operator": "GetInvitation", "mode": ' + "[" * 500 + "]" * 500 + "}",
    b"\xff\xfe\x00",
    b'{"Operator": "Heart"',
]


@on_loop
async def test_rubbish_disturbs_nobody(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        for rubbish in RUBBISH:
            async with login(url, "bob") as bob:
                with contextlib.suppress(ConnectionError):
                    await bob.say(rubbish)
                    await bob.say({"Operator": "Heart"})
            assert await ann.ask({"Operator": "Heart"}, Operator="HeartOK"), rubbish[:60]
        for rubbish in RUBBISH:  # also before a login
            async with dial(url) as nobody:
                await nobody.say(rubbish)
        await ann.say({"Operator": "CreateInvitation", "Table": "nul\0 inside", "Text": "\0"})
        assert titles(await page(ann)) == ["\ufffd", "nul inside"]  # half a character is shown as what it is


@on_loop
async def test_a_message_too_large_ends_its_own_link(database: str) -> None:
    async with serving_community(database) as url, login(url, "ann") as ann:
        async with login(url, "bob") as bob:
            with contextlib.suppress(ConnectionError):
                await bob.say('{"Operator": "CreateInvitation", "Text": "' + "x" * 10_000_000 + '"}')
            assert await bob.ended() in (1009, 1006)  # the goodbye may be lost among what is still being sent
        assert await page(ann) == []


@on_loop
async def test_posts_and_likes_of_others_appear_live(database: str) -> None:
    async with (
        serving_community(database) as url,
        login(url, "ann") as ann,
        login(url, "bob") as bob,
    ):
        await ann.say({"Operator": "CreateInvitation", "Table": "Tea"})
        told = await bob.hear(Operator="InvitationChanged")
        assert (told["what"], told["data"]["Table"]) == ("post", "Tea")
        await bob.say({"Operator": "CreateInvitationComment", "id": told["id"], "text": "Hi"})
        assert (await ann.hear())["data"]["text"] == "Hi"
        await bob.say({"Operator": "LoveInvitation", "id": told["id"]})
        assert await ann.hear() == {"Operator": "InvitationChanged", "what": "love", "id": told["id"], "love": 1}
        await bob.say({"Operator": "LoveInvitation", "id": told["id"]})
        await ann.silence()  # a repeat is no news


@on_loop
async def test_an_old_socket_does_not_break_the_new(database: str) -> None:
    """Five sockets of one person; each is answered, and the end of one is nothing to the others."""
    async with serving_community(database) as url, contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(login(url, "ann")) for _ in range(5)]
        for n in range(4):
            await links[n].cut()
            for link in links[n + 1 :]:
                assert await link.ask({"Operator": "Heart"}, Operator="HeartOK")
        await links[4].say({"Operator": "CreateInvitation", "Table": "the last"})
        assert titles(await page(links[4])) == ["the last"]


@on_loop
async def test_the_command_changes_the_blacklist(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'x.db'}"
    for option, banned in (("--ban", True), ("--unban", False)):
        program = Program(MODULE, "--database", database, option, "o-eve")
        with pytest.raises(AssertionError, match="did not start"):
            await program.start()  # it ends by itself
        store = Store(database)
        assert (await asyncio.to_thread(store.enter, "o-eve", "", "") is not None) is banned
        store.close()
