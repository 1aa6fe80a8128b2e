"""The card server, spoken to by clients that know nothing but the wire, over SQLite and PostgreSQL."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.card.server import build
from examples.card.store import Store
from tests.examples.conftest import PostgreSQL
from tests.examples.kit import Client, Message, dial, on_loop, running, serving

MODULE = "examples.card.server"
ACCEPTED = {"code": "200", "success": True, "msgType": "auth_ack"}
BEAT = {"type": "heartBeat", "msg": "this is heatbeat"}
BINDING = {
    "type": "bindCard",
    "cardId": "c-1",
    "BusinessID": "b-1",
    "phone": "13800000000",
    "memberId": "m-1",
    "BusinessName": "茶馆",
    "baseId": "base-1",
}


def serving_cards(database: str, **options: Any) -> AbstractAsyncContextManager[str]:
    """The cards in this process."""
    return serving(build(Path("nowhere"), database=database, **options), "/card")


@asynccontextmanager
async def identified(url: str, member: str = "m-1") -> AsyncIterator[Client]:
    async with dial(url) as client:
        assert await client.ask({"memberId": member, "token": "t"}) == ACCEPTED
        yield client


async def cards(client: Client) -> list[Message]:
    found: list[Message] = (await client.ask({"type": "myCards"}, msgType="cards"))["data"]
    return found


@on_loop
async def test_the_wire(database: str) -> None:
    async with serving_cards(database) as url, dial(url) as client:
        await client.say(BEAT)  # at open, before the identity
        assert await client.ask({"memberId": "m-1", "anything": [1, {"else": None}]}) == ACCEPTED
        await client.say(BEAT)
        bound = await client.ask(BINDING)
        assert (bound["msgType"], bound["code"], bound["success"]) == ("bind_ack", "200", True)
        assert list(bound["data"])[:6] == list(BINDING)[1:]  # in the order in which the wire spells them
        assert BINDING.items() >= {name: bound["data"][name] for name in list(BINDING)[1:]}.items()
        await client.say(BEAT)
        await client.silence()  # nothing answers a beat


@on_loop
async def test_binding_twice_does_not_bind_twice(database: str) -> None:
    async with serving_cards(database) as url:
        for link in range(3):
            async with identified(url) as client:
                for n in range(2):
                    bound = await client.ask(BINDING, msgType="bind_ack")
                    assert (bound["success"], bound["data"]["said"]) == (True, 2 * link + n + 1)
                assert [card["cardId"] for card in await cards(client)] == ["c-1"]
                await client.cut()


def test_two_links_bind_at_once(database: str) -> None:
    store = Store(database)

    async def both() -> list[object]:
        def bind(owner: str) -> object:
            details = {"phone": "", "member": owner, "business_name": "", "base": ""}
            return store.bind(owner, "c-1", "b-1", **details)

        return list(await asyncio.gather(*(asyncio.to_thread(bind, owner) for owner in ("m-1", "m-2") * 4)))

    bound = asyncio.run(both())
    assert sum(card is None for card in bound) == 4  # one of the two has it, whoever came first
    assert len(store.cards("m-1")) + len(store.cards("m-2")) == 1
    store.close()


@on_loop
async def test_a_card_is_bound_to_one_member(database: str) -> None:
    async with (
        serving_cards(database) as url,
        identified(url, "m-1") as one,
        identified(url, "m-2") as two,
    ):
        await one.ask(BINDING, msgType="bind_ack")
        refused = await two.ask({**BINDING, "memberId": "m-2"})
        assert (refused["code"], refused["success"]) == ("409", False)
        assert (await two.ask(BINDING))["code"] == "403"  # in another's name
        assert (len(await cards(one)), await cards(two)) == (1, [])


@on_loop
async def test_a_refused_identity_is_told(database: str) -> None:
    async with serving_cards(database, refused=("m-9", "m-refused")) as url:
        for identity, code in (({"memberId": "m-9"}, "403"), ({"memberId": "m-refused"}, "403"), (BINDING, "401")):
            async with dial(url) as client:
                told = await client.ask(identity)
                assert (told["msgType"], told["code"]) == ("auth_ack", code)
                assert told.get("success") is not True
                assert told["msg"]
                await client.ended()


@on_loop
async def test_before_the_identity_nothing_is_bound(database: str) -> None:
    async with serving_cards(database) as url:
        async with dial(url) as client:
            for _ in range(2):
                with contextlib.suppress(ConnectionError):
                    await client.say(BINDING)
            await client.ended()
        async with identified(url) as client:
            assert await cards(client) == []


@on_loop
async def test_what_comes_with_the_identity_waits_for_it(database: str) -> None:
    async with serving_cards(database) as url, dial(url) as client:
        for message in (BEAT, {"memberId": "m-1"}, BINDING, BEAT):
            await client.say(message)
        assert await client.hear() == ACCEPTED
        assert (await client.hear())["msgType"] == "bind_ack"


@on_loop
async def test_identities_of_other_shapes(database: str) -> None:
    """What names no member is known by all of it, whatever the order of its fields."""
    async with serving_cards(database) as url:
        for identity in ({"openId": "o", "n": 1}, {"n": 1, "openId": "o"}):
            async with dial(url) as client:
                assert await client.ask(identity) == ACCEPTED
                assert (await client.ask(BINDING))["success"] is True
        async with dial(url) as other:
            assert await other.ask({"openId": "p"}) == ACCEPTED
            assert (await other.ask(BINDING))["code"] == "409"


@on_loop
async def test_several_sockets_at_once(database: str) -> None:
    async with serving_cards(database) as url, contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(identified(url)) for _ in range(5)]
        for link in links:
            assert (await link.ask(BINDING, msgType="bind_ack"))["success"] is True
        for link in links[:4]:
            await link.cut()
        assert len(await cards(links[4])) == 1


@on_loop
async def test_killed_and_restarted(database: str) -> None:
    async with running(MODULE, "--database", database) as server:
        for n in range(3):
            async with identified(server.url) as client:
                await client.ask({**BINDING, "cardId": f"c-{n}"}, msgType="bind_ack")
                await client.say(BINDING)
            await server.kill()
            await server.start()
        async with identified(server.url) as client:
            assert [card["cardId"] for card in await cards(client)] == ["c-0", "c-1", "c-2"]


@on_loop
async def test_a_database_that_is_away(postgresql: PostgreSQL) -> None:
    async with serving_cards(postgresql.new()) as url, identified(url) as client:
        postgresql.stop()
        await client.say(BINDING)
        await asyncio.to_thread(postgresql.start)
        assert (await client.hear())["success"] is True  # it had to wait
        postgresql.stop()
        try:
            assert (await client.ask({**BINDING, "cardId": "c-2"}))["code"] == "503"
        finally:
            await asyncio.to_thread(postgresql.start)


RUBBISH: list[str | bytes] = [
    "not json",
    "null",
    "[]",
    "5",
    "{}",
    '{"type": null}',
    '{"type": ["bindCard"]}',
    '{"type": "bindCard"}',
    '{"type": "bindCard", "cardId": ""}',
    '{"type": "bindCard", "cardId": {"$ne": 1}}',
    '{"type": "bindCard", "cardId": true}',
    '{"type": "bindCard", "cardId": 1e400}',
    '{"type": "bindCard", "cardId": "' + "9" * 100_000 + '"}',
    '{"type": "bindCard", "cardId": "c\\u0000", "phone": "\\ud800"}',
    '{"type": "toString"}',
    '{"type": "__proto__"}',
    '{"__proto__": {"type": "bindCard"}}',
    '{"msgType": "auth_ack", "code": "200", "success": true}',
    "{" * 5_000,
    '{"a":' * 3_000 + "1" + "}" * 3_000,
    b"\xff\x00",
    b'{"type": "heartBeat", "msg": "this is heatbeat"}',
]


@pytest.mark.parametrize("first", [False, True], ids=["after the identity", "instead of it"])
@on_loop
async def test_rubbish_disturbs_nobody(database: str, first: bool) -> None:
    async with serving_cards(database) as url, identified(url) as quiet:
        for rubbish in RUBBISH:
            async with dial(url) as client:
                with contextlib.suppress(ConnectionError):
                    if not first:
                        await client.say({"memberId": "m-2"})
                    await client.say(rubbish)
                    await client.say(json.dumps({"memberId": "m-2"}))
            assert await cards(quiet) == [], rubbish[:60]
        assert (await quiet.ask(BINDING, msgType="bind_ack"))["success"] is True
