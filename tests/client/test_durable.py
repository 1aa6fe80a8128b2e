"""A durable outbox: what survives the process, what waits for the disk, and what is said when it cannot be written."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline import Cursor, Entry, Expired, Full, OutboxError, OutboxFull, OutboxLimits, Outcome, Replaced, State
from heartline.client.durable import Durable
from heartline.client.outbox_file import APPLICATION

from .conftest import Run
from .world import World, guarded, quick, until, until_state, world


def durable_of(conn: heartline.Connection) -> Durable:
    durable = conn._shell.durable
    assert durable is not None
    return durable


def rows(path: Path, query: str) -> list[Any]:
    """What another program sees in the file."""
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def numbers(path: Path) -> list[int]:
    return [n for (n,) in rows(path, "SELECT n FROM messages ORDER BY n")]


async def fill(conn: heartline.Connection, full: bool = True) -> None:
    """Leave no room on the disk, as far as the file can tell; or make room again."""
    worker = durable_of(conn)._file._worker  # type: ignore[union-attr]
    if full:
        await worker.do(lambda tables: tables._db.execute("PRAGMA max_page_count = 1").fetchall())
    else:
        await worker.do(lambda tables: tables._db.execute("PRAGMA max_page_count = 1000000").fetchall())


BIG = "x" * 20_000  # does not fit into a page that is there already


# what survives

PROGRAM = """\
import asyncio, random, sys
import heartline

async def main(url, file, seed):
    dice = random.Random(seed)
    async with heartline.connect(url, outbox=file, linger=0) as conn:
        first = int(conn.marks.get("next", "1"))
        for n in range(first, 100_000):
            if dice.random() < 0.5:
                await conn.send("note", n, marks={"next": str(n + 1)})
                print(n, flush=True)  # told to be stored
            else:
                conn.send_nowait("note", n, marks={"next": str(n + 1)})
            if dice.random() < 0.1:
                await asyncio.sleep(dice.uniform(0, 0.01))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def test_outbox_survives_sigkill(run: Run, tmp_path: Path) -> None:
    """Processes that are killed at random: what was told to be stored is handled, all in order, each once."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    file, program = tmp_path / "a.db", tmp_path / "program.py"
    program.write_text(PROGRAM)

    async def main() -> None:
        async with world() as w:
            told = 0
            for life in range(6):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, str(program), w.url, str(file), str(seed + life), stdout=subprocess.PIPE
                )
                assert process.stdout is not None
                told = max(told, int(await process.stdout.readline()))
                if dice.random() < 0.5:
                    w.proxy.refuse()
                await asyncio.sleep(dice.uniform(0.0, 0.4))
                process.send_signal(signal.SIGKILL)
                for line in (await process.stdout.read()).splitlines():
                    told = max(told, int(line))
                await process.wait()
                w.proxy.refuse(False)
                kept = numbers(file)
                assert kept == sorted(set(kept))
            async with w.connect(outbox=file) as conn:
                await conn.settled(10)
                assert all(receipt.outcome is Outcome.HANDLED for receipt in conn.restored)
                assert w.handled == list(range(1, len(w.handled) + 1))
                assert w.handled[-1] >= told
                assert conn.marks == {"next": str(w.handled[-1] + 1)}
            assert numbers(file) == []

    run(main())


def test_numbers_are_never_reused_after_a_crash(run: Run, tmp_path: Path) -> None:
    """Also numbers of messages that are settled, or were never stored: a block is reserved before it is used."""

    async def main() -> None:
        used: list[int] = []
        file = tmp_path / "a.db"
        async with world() as w:
            for life in range(4):
                crashed = tmp_path / f"{life}.db"
                async with w.connect(outbox=file) as conn:
                    used.append((await conn.send("note", life)).n)
                    await conn.settled(5)
                    for end in ("", "-wal"):  # what a crash would leave at this moment
                        shutil.copy(f"{file}{end}", f"{crashed}{end}")
                file = crashed
        assert used == sorted(set(used))
        assert w.handled == [0, 1, 2, 3]

    run(main())


def test_marks_come_with_their_message(run: Run, tmp_path: Path) -> None:
    """Whatever moment the file is looked at, the mark speaks of the last message."""
    file = tmp_path / "a.db"

    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=file) as conn:

                async def look() -> None:
                    while True:
                        found = rows(file, "SELECT (SELECT max(n) FROM messages), (SELECT value FROM marks)")
                        n, mark = found[0]
                        assert (n, mark) == (None, None) or str(n) == mark
                        looked.append(n)
                        await asyncio.sleep(0)

                looking = asyncio.ensure_future(look())
                for n in range(1, 200):
                    conn.send_nowait("note", n, marks={"last": str(n)})
                    if n % 7 == 0:
                        await asyncio.sleep(0.002)
                await conn.mark({"mine": "x"})
                assert not looking.done(), looking.exception()
                looking.cancel()
                assert conn.marks == {"last": "199", "mine": "x"}
                await conn.mark({"mine": None})
        assert rows(file, "SELECT * FROM marks") == [("last", "199")]

    looked: list[int] = []
    run(main())
    assert len(set(looked)) > 2


def test_a_restarted_client_resumes_its_session(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w:
            async with w.connect(outbox=tmp_path / "a.db") as conn:
                await conn.connected(5)
                session = conn.session_id
            told: list[Any] = []
            conn = w.connect(outbox=str(tmp_path / "a.db"))
            conn.on("told", told.append)
            async with conn:
                assert conn.session_id == session
                await conn.connected(5)
                assert conn.session_id == session
                await conn.send("tell", 7)
                await until(lambda: told == [7])

    run(main())


def test_restored_receipts_tell_what_became_of_them(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=tmp_path / "a.db") as conn:
                assert conn.restored == []
                await conn.send("note", {"a": 1})
                await conn.publish("c/1", 2)
                await conn.send("fail", 3)
                gone = conn.send_nowait("note", 4)
                await gone.stored()
            with pytest.raises(heartline.ConnectionClosed):
                await gone
            assert gone.outcome is None
            w.proxy.refuse(False)
            async with w.connect(outbox=tmp_path / "a.db") as conn:
                first, second, third, _ = conn.restored
                assert (first.event, first.channel, first.data) == ("note", None, {"a": 1})
                assert (second.event, second.channel, second.data) == ("message", "c/1", 2)
                await first
                await second
                with pytest.raises(heartline.Rejected, match="no_luck"):
                    await third
                await conn.settled(5)
            assert w.handled == [{"a": 1}, 4]

    run(main())


def test_ending_empties_the_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.db"

    async def main() -> None:
        async with world() as w:
            async with w.connect(outbox=file) as conn:
                async with conn.subscribe("c/1") as subscription:
                    await subscription.ready()
                w.proxy.refuse()
                w.proxy.cut_all()
                await conn.send("note", 1, marks={"a": "b"})
                await conn.end()
            for table in ("messages", "cursors", "marks"):
                assert rows(file, f"SELECT * FROM {table}") == []
            assert dict(rows(file, "SELECT * FROM state"))["session"] is None

    run(main())


def test_marks_given_at_the_end_stay(run: Run, tmp_path: Path) -> None:
    """In the transaction that empties the file: there is no moment without either."""
    file = tmp_path / "a.db"

    async def main() -> None:
        async with world() as w:
            async with w.connect(outbox=file) as conn:
                await conn.send("note", 1, marks={"a": "b", "c": "d"})
                await conn.end(marks={"a": "done"})
            assert rows(file, "SELECT * FROM marks") == [("a", "done")]
            assert rows(file, "SELECT * FROM messages") == []
            async with w.connect() as conn:
                with pytest.raises(ValueError, match="marks: only a durable outbox"):
                    await conn.end(marks={"a": "b"})

    run(main())


# the disk first


def test_stored_means_committed(run: Run, tmp_path: Path) -> None:
    """When `send` returns the message is in the file; many at once share a commit."""
    file = tmp_path / "a.db"

    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=file) as conn:
                for n in range(5):
                    receipt = await conn.send("note", n)
                    assert receipt.n in numbers(file)
                receipts = await asyncio.gather(*(conn.send("note", n) for n in range(1000)))
                assert set(numbers(file)) >= {receipt.n for receipt in receipts}
                assert durable_of(conn)._stored < 100

    run(main())


def test_cancelled_before_it_is_stored(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w, w.connect(outbox=tmp_path / "a.db") as conn:
            await conn.connected(5)
            sending = asyncio.ensure_future(conn.send("note", 1))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await conn.send("note", 2)
            await conn.settled(5)
            assert w.handled == [2]

    run(main())


def test_a_full_disk_is_waited_for(run: Run, tmp_path: Path) -> None:
    """Nothing unstored is sent, the order stays, senders meet the limits; then all goes on by itself."""

    async def main() -> None:
        traced: list[str] = []
        policy = quick(outbox=OutboxLimits(messages=5))
        async with (
            world() as w,
            w.connect(outbox=tmp_path / "a.db", policy=policy, trace=lambda _at, what, _d: traced.append(what)) as conn,
        ):
            await conn.send("note", 0)
            await conn.settled(5)
            await fill(conn)
            receipts = [conn.send_nowait("note", BIG + str(n)) for n in range(3)]
            await until(lambda: conn.trouble)
            assert "the disk is full" in conn.trouble
            receipts += [conn.send_nowait("note", BIG + str(n)) for n in range(3, 5)]
            with pytest.raises(OutboxFull):
                conn.send_nowait("note", 5)
            storing = asyncio.ensure_future(receipts[0].stored())
            await asyncio.sleep(0.3)
            assert not storing.done()
            assert w.handled == [0]
            await fill(conn, False)
            await storing
            await conn.settled(5)
            assert [value[-1] for value in w.handled[1:]] == ["0", "1", "2", "3", "4"]
            assert conn.trouble == ""
            assert traced.index("client.outbox_fails") < traced.index("client.outbox_works")

    run(main())


def test_a_locked_file_is_waited_for(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartline.storage.file.BUSY", 0.05)
    file = tmp_path / "a.db"

    async def main() -> None:
        async with world() as w, w.connect(outbox=file) as conn:
            await conn.connected(5)
            await conn.send("note", 1)
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            sending = asyncio.ensure_future(conn.send("note", 2))
            await until(lambda: "locked" in conn.trouble)
            assert not sending.done()
            other.execute("ROLLBACK")
            other.close()
            await sending
            await conn.settled(5)
            assert w.handled == [1, 2]

    run(main())


def test_closing_on_a_full_disk_is_told(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w:
            conn = w.connect(outbox=tmp_path / "a.db")
            await conn.start()
            await conn.send("note", 1)
            await fill(conn)
            sending = asyncio.ensure_future(conn.send("note", BIG))
            await until(lambda: conn.trouble)
            await conn.close()
            with pytest.raises(OutboxError, match=r"not stored: .*the disk is full"):
                await sending
            with pytest.raises(OutboxError, match="not stored"):
                await conn.mark({"a": "b"})
        assert "1 messages were not stored" in caplog.text

    run(main())


def test_limits_and_a_file_together(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            policy = quick(outbox=OutboxLimits(messages=2, full=Full.DROP_OLDEST))
            async with w.connect(outbox=tmp_path / "a.db", policy=policy) as conn:
                first = await conn.send("note", 1)
                await conn.send("note", 2)
                await conn.send("note", 3)
                with pytest.raises(Expired):
                    await first
            assert len(numbers(tmp_path / "a.db")) == 2

    run(main())


# refusals


def test_a_refused_login_loses_nothing(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world(declare=guarded({"good": "ann"})) as w:
            token = "bad"
            async with w.connect(outbox=tmp_path / "a.db", login=lambda: token) as conn:
                asking = asyncio.ensure_future(conn.request("echo", 1))
                receipt = await conn.send("note", 1)
                await until_state(conn, State.REFUSED)
                with pytest.raises(heartline.LoginRefused):
                    await asking
                assert receipt.outcome is None
                token = "good"
                conn.retry_now()
                await receipt
            assert w.handled == [1]

    run(main())


def test_a_second_process_is_refused(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w, w.connect(outbox=tmp_path / "a.db") as conn:
            await conn.send("note", 1)
            code = (
                "import asyncio, sys, heartline\n"
                "async def main():\n    await heartline.connect(sys.argv[1], outbox=sys.argv[2]).start()\n"
                "asyncio.run(main())"
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, w.url, str(tmp_path / "a.db"), stderr=subprocess.PIPE
            )
            _, said = await process.communicate()
            assert process.returncode == 1
            assert b"OutboxError: outbox: " in said
            assert b"a.db is in use by another process" in said
            second = w.connect(outbox=tmp_path / "a.db")
            with pytest.raises(OutboxError, match="is in use"):
                await second.start()
            await conn.close()
            await second.start()  # and now it may
            await second.close()

    run(main())


def test_a_copied_file_replaces(run: Run, tmp_path: Path) -> None:
    """The newer instance wins; the older one is told, settles everything, and its file is fit for a new session."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def main() -> None:
        async with world() as w:
            async with w.connect(outbox=old) as conn:
                await conn.send("note", 1)
                await conn.settled(5)
            shutil.copy(old, new)
            async with w.connect(outbox=old) as first:
                await first.connected(5)
                stuck = await first.send("slow", 2)
                await until(lambda: 2 in w.handled)
                async with w.connect(outbox=new) as second:
                    await second.connected(5)
                    await until_state(first, State.REFUSED)
                    with pytest.raises(Replaced):
                        await first.send("note", 3)
                    assert stuck.outcome is Outcome.UNKNOWN
                    await (await second.send("note", 4))
            assert numbers(old) == []
            assert dict(rows(old, "SELECT * FROM state"))["session"] is None
            w.hold.set()
            async with w.connect(outbox=old) as again:
                await (await again.send("note", 5))
        assert w.handled == [1, 2, 4, 5]

    run(main())


@pytest.mark.parametrize("what", ["letter", "foreign", "newer", "folder", "missing", "damaged"])
def test_a_file_that_cannot_be_used_is_named(run: Run, tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.db"
    wanted = {"letter": "is not an SQLite file", "foreign": "another kind", "newer": "newer heartline",
              "folder": "Is a directory", "missing": "No such file", "damaged": r"a\.db"}[what]  # fmt: skip
    if what == "letter":
        path.write_text("dear aunt\n" * 500)
    elif what == "folder":
        path.mkdir()
    elif what == "missing":
        path = tmp_path / "none" / "a.db"
    elif what != "damaged":
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE t (n)")
        db.execute(f"PRAGMA application_id = {APPLICATION if what == 'newer' else 5}")
        db.execute("PRAGMA user_version = 99")
        db.close()

    async def main() -> None:
        async with world() as w:
            if what == "damaged":
                async with w.connect(outbox=path) as conn:
                    await conn.send("note", 1)
                data = bytearray(path.read_bytes())
                data[4096:] = os.urandom(len(data) - 4096)
                path.write_bytes(data)
            conn = w.connect(outbox=path)
            with pytest.raises(OutboxError, match=wanted):
                await conn.start()
            assert conn.state is State.IDLE
            with pytest.raises(RuntimeError, match="not started"):
                await conn.send("note", 1)
            await conn.close()

    run(main())


def test_closing_while_the_file_is_opened(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w:
            conn = w.connect(outbox=tmp_path / "a.db")
            starting = asyncio.ensure_future(conn.start())
            await asyncio.sleep(0)
            await conn.close()
            with pytest.raises((heartline.ConnectionClosed, RuntimeError)):
                await starting
            other = w.connect(outbox=tmp_path / "a.db")
            starting = asyncio.ensure_future(other.start())
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            await asyncio.gather(other.start(), other.start())
            await other.send("note", 1)
            await other.close()

    run(main())


def test_marks_need_a_file(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            with pytest.raises(ValueError, match="marks: only a durable outbox"):
                await conn.send("note", 1, marks={"a": "b"})
            assert conn.marks == {}
        async with world() as w, w.connect(outbox=tmp_path / "a.db") as conn:
            with pytest.raises(TypeError, match="marks: expected"):
                await conn.mark({"a": 1})  # type: ignore[dict-item]
            await conn.mark({})

    run(main())


# places in channels


async def read(conn: heartline.Connection, n: int, **options: Any) -> list[Any]:
    """The next n entries of c/1, all of them handled."""
    got: list[Any] = []
    async with conn.subscribe("c/1", **options) as subscription:
        await subscription.ready()
        if n:
            async for item in subscription:
                if len(got) == n:  # asked for: the ones before are handled
                    break
                got.append(item.data if isinstance(item, Entry) else item)
    return got


def test_a_closed_subscription_keeps_its_place(run: Run, tmp_path: Path) -> None:
    """Over closing, over processes, and also from before `start`."""
    file = tmp_path / "a.db"

    async def publish(w: World, *values: int) -> None:
        for value in values:
            await w.app.publish("c/1", "v", value)

    async def main() -> None:
        async with world() as w:
            async with w.connect(outbox=file) as conn:
                assert await read(conn, 0) == []
                await publish(w, *range(1, 8))
                assert await read(conn, 2) == [1, 2]
                assert await read(conn, 1) == [3]
            conn = w.connect(outbox=file)
            early = conn.subscribe("c/1")
            await conn.start()
            assert early.cursor is not None
            assert early.cursor.offset == 3
            assert (await anext(early)).data == 4  # type: ignore[union-attr]
            await conn.close()
            async with w.connect(outbox=file) as conn:
                assert await read(conn, 1) == [4]  # it was never asked for the next
                assert await read(conn, 1, since="beginning") == [1]
                assert await read(conn, 1) == [2]
                here = rows(file, "SELECT epoch, offset FROM cursors WHERE channel = 'c/1'")
                subscription = conn.subscribe("c/1", since=Cursor(conn_epoch(conn), 6))
                await subscription.close()
                assert await read(conn, 0) == []
                assert here
                subscription = conn.subscribe("c/1")
                await subscription.close(forget=True)
            assert rows(file, "SELECT * FROM cursors WHERE channel = 'c/1'") == []
            async with w.connect(outbox=file) as conn:
                subscription = conn.subscribe("c/1")
                await subscription.ready()
                assert subscription.cursor is not None
                assert subscription.cursor.offset == 7  # from now on

    def conn_epoch(conn: heartline.Connection) -> str:
        cursor = durable_of(conn).place_of("c/1")
        assert cursor is not None
        return cursor.epoch

    run(main())
