"""Logins: asked for each link, renewed in time, and what failing ones do."""

import asyncio
from typing import Any

import pytest

import heartline
from heartline import Identity, State

from .conftest import Run
from .world import guarded, quick, until, until_state, world


def test_login_is_called_for_each_link(run: Run) -> None:
    async def main() -> None:
        async with world(declare=guarded({"t": "ann"})) as w:
            calls = 0

            async def login() -> str:
                nonlocal calls
                calls += 1
                return "t"

            async with w.connect(login=login) as conn:
                await conn.connected(5)
                session = conn.session_id
                for n in (2, 3):
                    w.proxy.cut_all()
                    await until(lambda n=n: calls == n)
                    await conn.connected(5)
                assert conn.session_id == session

    run(main())


@pytest.mark.parametrize("login", ["t", lambda: "t"])
def test_login_may_be_a_value_or_a_function(run: Run, login: Any) -> None:
    async def main() -> None:
        async with world(declare=guarded({"t": "ann"})) as w, w.connect(login=login) as conn:
            await conn.connected(5)

    run(main())


def test_a_login_that_raises_is_a_failed_attempt(run: Run) -> None:
    async def main() -> None:
        async with world(declare=guarded({"t": "ann"})) as w:
            fail = True

            def login() -> str:
                if fail:
                    raise LookupError("the token store is locked")
                return "t"

            async with w.connect(login=login) as conn:
                reasons = []
                conn.on_state(lambda change: reasons.append(change.reason))
                await until_state(conn, State.WAITING)
                await until(lambda: reasons)
                assert "login: LookupError: the token store is locked" in reasons
                assert w.proxy.stats.dials == 0
                fail = False
                await conn.connected(5)

    run(main())


def test_a_login_that_hangs_is_a_failed_attempt(run: Run) -> None:
    async def main() -> None:
        async with world(declare=guarded({"t": "ann"})) as w:
            hang = True

            async def login() -> str:
                if hang:
                    await asyncio.Event().wait()
                return "t"

            async with w.connect(login=login, policy=quick(connect_timeout=0.1)) as conn:
                await until_state(conn, State.WAITING)
                hang = False
                await conn.connected(5)

    run(main())


def test_a_login_cancelled_by_itself_is_a_failed_attempt(run: Run) -> None:
    async def main() -> None:
        async with world(declare=guarded({"t": "ann"})) as w:
            fail = True

            async def login() -> str:
                if fail:
                    raise asyncio.CancelledError
                return "t"

            async with w.connect(login=login) as conn:
                await until_state(conn, State.WAITING)
                fail = False
                await conn.connected(5)

    run(main())


def test_credentials_are_renewed(run: Run) -> None:
    async def main() -> None:
        seen: list[Any] = []

        def declare(app: heartline.Server) -> None:
            @app.login
            def login(token: Any) -> Identity:
                seen.append(token)
                return Identity("ann", expires_in=2.0 if len(seen) < 3 else 1000)

        async with world(declare=declare) as w:
            count = 0

            def login() -> int:
                nonlocal count
                count += 1
                return count

            async with w.connect(login=login) as conn:
                await until(lambda: seen == [1, 2, 3])
                assert conn.state is State.OPEN
                assert w.proxy.stats.dials == 1

    run(main())


def test_a_renewal_that_fails_is_told_and_the_next_link_asks_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        seen: list[Any] = []

        def declare(app: heartline.Server) -> None:
            @app.login
            def login(token: Any) -> Identity:
                seen.append(token)
                return Identity("ann", expires_in=0.3 if len(seen) == 1 else 1000)

        async with world(declare=declare) as w:
            count = 0

            def login() -> int:
                nonlocal count
                count += 1
                if count == 2:
                    raise LookupError("locked")
                return count

            async with w.connect(login=login) as conn:
                await until(lambda: seen == [1, 3])
                await conn.connected(5)

    run(main())
    assert "login= raised during a renewal: LookupError" in caplog.text
