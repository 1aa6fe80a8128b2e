"""The SQLite broker: its contract, its bounds, its troubles. What kills its process: test_sqlite_kills."""

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from heartline.brokers.sqlite import SqliteBroker, channels, published, statements
from heartline.brokers.urls import make_broker
from heartline.core.errors import BrokerError
from heartline.core.ports import History
from heartline.testing.contracts import BROKER_CHECKS, Check, run_check

from .sqlite_kit import DAY, Files, Hand, fill, offsets, record, rows, started

Test = Callable[[Files], Awaitable[None]]


def on_files(test: Test) -> Callable[[Path], None]:
    """Run a test with a folder for its files."""

    def run(tmp_path: Path) -> None:
        async def main() -> None:
            files = Files(tmp_path, sweep_every=0.01)
            try:
                await test(files)
            finally:
                await files.clean_up()

        asyncio.run(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@pytest.mark.parametrize("check", BROKER_CHECKS, ids=lambda check: check.__name__)
def test_the_contract(check: Check, tmp_path: Path) -> None:
    async def main() -> None:
        files = Files(tmp_path, session_ttl=100.0, sweep_every=0.01)
        try:
            advance = files.clock.advance
            await run_check(check, files.new, crash=files.crash, advance=advance, session_ttl=100.0, patience=20.0)
        finally:
            await files.clean_up()

    asyncio.run(main())


def test_broker_urls(tmp_path: Path) -> None:
    assert make_broker("memory://", DAY).durable is False
    relative, absolute = make_broker("sqlite:///some%20app.db", DAY), make_broker(f"sqlite:///{tmp_path}/a.db", DAY)
    assert isinstance(relative, SqliteBroker)
    assert isinstance(absolute, SqliteBroker)
    assert relative._path == Path.cwd() / "some app.db"
    assert absolute._path == tmp_path / "a.db"
    for url in ("", "memory", "sqlite://app.db", "sqlite:///", "sqlite:///a?x=1", "sqlite:///a?sync=x", "nats://x"):
        with pytest.raises(ValueError, match="broker"):
            make_broker(url, DAY)


def test_arguments_are_checked(tmp_path: Path) -> None:
    for wrong in ({"sync": "off"}, {"session_ttl": 0}, {"sweep_every": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SqliteBroker(tmp_path / "a.db", **wrong)  # type: ignore[arg-type]


def test_batches_write_every_row_once() -> None:
    for count in (0, 1, 3, 4, 5, 31, 32, 255, 256, 257, 1000, 1023):
        db = sqlite3.connect(":memory:")
        db.execute("CREATE TABLE t (a, b)")
        batch = statements.Batch(db, "INSERT INTO t", 2)
        batch.rows += [(i, str(i)) for i in range(count)]
        batch.flush()
        batch.flush()
        assert db.execute("SELECT * FROM t ORDER BY rowid").fetchall() == [(i, str(i)) for i in range(count)]


# history


@on_files
async def test_offsets_survive_trimming(files: Files) -> None:
    broker = await started(files.new())
    for round_ in range(1, 6):
        await fill(broker, "c", 300, History(10))
        assert await offsets(broker, "c") == list(range(300 * round_ - 9, 300 * round_ + 1))
    await fill(broker, "c", 1, History(0))
    piece = await broker.read("c", 0, 10, 100)
    assert ([*piece.entries], piece.head, piece.trimmed, piece.kept) == ([], 1501, 1501, False)
    await broker.stop()
    broker = await started(files.over(broker._path))
    await fill(broker, "c", 1, History(10))
    assert await broker.head("c") == (piece.epoch, 1502)
    await broker.stop()


@on_files
async def test_history_bounds_the_file(files: Files) -> None:
    """By count, by bytes and by age; and the space goes back to the system."""
    broker = await started(files.new())
    most = History(100, bytes=1 << 40)
    await fill(broker, "count", 2000, most, 1000)
    await fill(broker, "bytes", 2000, History(10_000, bytes=100_000), 1000)
    await fill(broker, "age", 2000, History(10_000, age=50.0), 1000)
    (kept,) = (await rows(broker, "SELECT count(*) FROM entries WHERE id >> 40 = 1"))[0]
    assert kept <= 100 + channels.SLACK
    (size,) = (await rows(broker, "SELECT sum(length(data)) FROM entries WHERE id >> 40 = 2"))[0]
    assert size <= 100_000
    await fill(broker, "filler", 20_000, History(100_000, age=50.0), 1000)
    ((full,),) = await rows(broker, "PRAGMA page_count")
    assert full > 5000
    files.clock.now += 51.0
    for _ in range(500):
        await asyncio.sleep(0.01)
        ((pages,),) = await rows(broker, "PRAGMA page_count")
        if pages < full / 3:
            break
    assert pages < full / 3
    assert await offsets(broker, "age") == []
    assert (await broker.head("age"))[1] == 2000
    await broker.stop()
    assert broker._path.stat().st_size < full * 4096 / 3


@on_files
async def test_a_large_log_goes_in_pieces(files: Files) -> None:
    """Dropping or shrinking a log keeps nobody waiting, and leaves nothing in the end."""
    broker = await started(files.new())
    most = History(1 << 20, bytes=1 << 40)
    await asyncio.gather(fill(broker, "dropped", 50_000, most), fill(broker, "shrunk", 20_000, most))
    epoch, _ = await broker.head("dropped")
    await broker.drop("dropped")
    assert (await broker.head("dropped"))[1] == 0
    await fill(broker, "dropped", 3, most)
    assert await offsets(broker, "dropped") == [1, 2, 3]
    assert (await broker.head("dropped"))[0] != epoch
    await fill(broker, "shrunk", 1, History(5))
    assert len(await offsets(broker, "shrunk")) == 5
    (left,) = (await rows(broker, "SELECT count(*) FROM entries"))[0]
    assert left > 18_000, "deleted at once"
    await fill(broker, "shrunk", 30, History(5))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if not await rows(broker, "SELECT * FROM garbage"):
            break
    (left,) = (await rows(broker, "SELECT count(*) FROM entries"))[0]
    assert left <= 3 + 5 + channels.SLACK
    await broker.stop()


# keys


@on_files
async def test_a_message_is_published_once(files: Files) -> None:
    """Its record was not written, its client stayed away for days: it is in the log all the same."""
    broker = await started(files.new())
    await broker.swap(record("s"), None)
    epoch, first = await broker.append("c", "e", b"1", History(), key=("s", 7))
    for _ in range(2):
        await broker.stop()
        files.clock.now += 3 * DAY
        broker = await started(files.over(broker._path))
        assert await broker.append("c", "e", b"1", History(), key=("s", 7)) == (epoch, first)
        assert (await broker.append("c", "e", b"2", History(), key=("s", 8)))[1].offset == 2
    assert await offsets(broker, "c") == [1, 2]
    await broker.drop("c")
    assert (await broker.append("c", "e", b"1", History(), key=("s", 7)))[1].offset == 1, "of another log"
    await broker.stop()


@on_files
async def test_keys_are_bounded(files: Files) -> None:
    broker = await started(files.new())
    await broker.swap(record("s"), None)
    await asyncio.gather(*[broker.append("c", "e", b"1", History(), key=("s", n)) for n in range(1, 501)])
    await asyncio.gather(*[broker.append("c", "e", b"1", History(), key=f"k{n}") for n in range(500)])
    assert await rows(broker, "SELECT count(*), min(n) FROM published") == [(500, 1)]
    await broker.swap(record("s", done=490), 1)
    assert await rows(broker, "SELECT count(*), min(n) FROM published") == [(10, 491)]
    assert (await broker.append("c", "e", b"1", History(), key=("s", 495)))[1].offset == 495
    await broker.forget("s")
    await fill(broker, "c", 1)
    assert await rows(broker, "SELECT count(*) FROM published") == [(0,)]
    assert await rows(broker, "SELECT count(*) FROM keys") == [(500,)]
    await files.clock.advance(published.KEPT + 1)
    await fill(broker, "c", 1)
    assert await rows(broker, "SELECT count(*) FROM keys") == [(0,)]
    await broker.stop()


# sessions


@on_files
async def test_a_lost_swap_changes_nothing(files: Files) -> None:
    broker = await started(files.new())
    kept = record("s", 3, results={5: b"five"}, floor=5)
    assert await broker.swap(kept, None)
    assert not await broker.swap(record("s", 4, results={6: b"six"}, floor=6), 2)
    assert not await broker.swap(record("s", 1), None)
    assert not await broker.forget("s", 2)
    assert await broker.load("s") == kept
    await broker.stop()
    broker = await started(files.over(broker._path))
    assert not await broker.swap(record("s", 4), 2)
    assert await broker.load("s") == kept
    await broker.stop()


@on_files
async def test_results_are_kept_until_the_floor(files: Files) -> None:
    """Whole records are swapped; the file follows them, and is written only where they differ."""
    broker = await started(files.new())
    results: dict[int, bytes] = {}
    expected: int | None = None
    for n in range(1, 600):
        floor = max(1, n - 100)
        results = {k: v for k, v in results.items() if k >= floor}
        results[n] = b'["reply",%d,"%b"]' % (n, b"y" * (n % 7))
        if n % 50 == 0:
            results.pop(n - 3)  # one that ended and needs no answer any more
        one = record("s", floor=floor, done=n, results=results)
        assert await broker.swap(one, expected)
        expected = 1
        if n % 37 == 0:
            assert await broker.load("s") == one
        if n % 100 == 0:
            await broker.stop()
            broker = await started(files.over(broker._path))
            assert await broker.load("s") == one
    (changes,) = (await rows(broker, "SELECT total_changes()"))[0]
    await broker.swap(record("s", floor=499, done=600, results=results | {600: b"x"}), 1)
    (after,) = (await rows(broker, "SELECT total_changes()"))[0]
    assert after - changes <= 5, "written again though nothing has changed"
    await broker.stop()


@on_files
async def test_unclaimed_sessions_expire(files: Files) -> None:
    """Held by a server they stay; nobody's, they go after a while in which a server ran, with their inboxes."""
    files.options["session_ttl"] = 100.0
    broker = await started(files.new())
    for session in ("held", "left"):
        await broker.swap(record(session), None)
        await fill(broker, f"@{session}", 2)
    for _ in range(20):
        await files.clock.advance(30.0)
    assert await broker.load("left"), "held by a server that runs, and gone"
    await broker.stop()
    files.clock.now += 30 * DAY  # nobody can come back while no server runs
    broker = await started(files.over(broker._path))
    await files.clock.advance(90.0)
    assert await broker.load("left"), "gone before its time"
    assert await broker.swap(record("held", 2), 1)
    for _ in range(5):
        await files.clock.advance(30.0)
    assert await broker.load("left") is None
    assert await broker.load("held") is not None
    assert ((await broker.head("@left"))[1], (await broker.head("@held"))[1]) == (0, 2)
    await broker.stop()


# troubles


@on_files
async def test_a_second_process_is_refused(files: Files) -> None:
    broker = await started(files.new())
    second = files.over(broker._path)
    with pytest.raises(BrokerError, match=r"0\.db is in use by another process"):
        await started(second)
    await broker.stop()
    await started(second)
    await second.stop()


@on_files
async def test_files_that_cannot_be_used(files: Files) -> None:
    """Each is named with what is wrong, and left as it is."""
    folder = files.folder
    (folder / "text.db").write_text("no database at all, but long enough to be looked at as one" * 20)
    with sqlite3.connect(folder / "other.db") as db:
        db.execute("CREATE TABLE t (a)")
    broker = await started(files.over(folder / "newer.db"))
    await rows(broker, "PRAGMA user_version = 99")
    await broker.stop()
    before = {path.name: path.read_bytes() for path in folder.glob("*.db")}
    for name, says in (
        ("text.db", "is not an SQLite file"),
        ("other.db", "of another kind"),
        ("newer.db", r"newer heartline \(format 99, this one knows up to 1\)"),
        ("missing/a.db", "cannot be used: No such file or directory"),
    ):
        broker = files.over(folder / name)
        with pytest.raises(BrokerError, match=says):
            await started(broker)
        with pytest.raises(BrokerError, match="is not open"):
            broker.append("c", "e", b"1", History())
    assert {path.name: path.read_bytes() for path in folder.glob("*.db")} == before


@on_files
async def test_a_full_disk_is_told_and_got_over(files: Files) -> None:
    """What was acknowledged stays, what is not is refused in words, and all is well again when there is room."""
    announced: list[object] = []
    broker = await started(files.new(), announced)
    broker.follow("c")
    await fill(broker, "c", 10)
    await rows(broker, "PRAGMA max_page_count = 40")
    answers = await asyncio.gather(
        *[broker.append("c", "e", b'"%b"' % (b"x" * 5000), History()) for _ in range(100)], return_exceptions=True
    )
    failed = [answer for answer in answers if isinstance(answer, BrokerError)]
    assert failed
    assert "the disk is full" in str(failed[0])
    assert "the disk is full" in broker.trouble
    taken = 10 + len(answers) - len(failed)
    assert await offsets(broker, "c") == list(range(1, taken + 1))
    with pytest.raises(BrokerError, match="the disk is full"):
        await broker.append("c", "e", b'"%b"' % (b"x" * 200_000), History())
    await rows(broker, "PRAGMA max_page_count = 1000000")
    await fill(broker, "c", 5)
    assert broker.trouble == ""
    assert await offsets(broker, "c") == list(range(1, taken + 6))
    assert len(announced) == taken + 5, "announced what was not kept, or not what was"
    await broker.stop()


@on_files
async def test_a_locked_file_is_told_and_got_over(files: Files) -> None:
    broker = await started(files.new())
    await fill(broker, "c", 1)
    await rows(broker, "PRAGMA busy_timeout = 50")
    other = sqlite3.connect(broker._path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BrokerError, match="locked by another program"):
        await fill(broker, "c", 1)
    assert await offsets(broker, "c") == [1], "reading goes on"
    other.execute("COMMIT")
    other.close()
    await fill(broker, "c", 1)
    assert broker.trouble == ""
    assert await offsets(broker, "c") == [1, 2]
    await broker.stop()


@on_files
async def test_a_read_only_file_is_told(files: Files) -> None:
    files.options["sweep_every"] = 1000.0
    broker = await started(files.new())
    await fill(broker, "c", 1)
    await rows(broker, "PRAGMA query_only = 1")
    with pytest.raises(BrokerError, match="cannot be written: it is read-only"):
        await fill(broker, "c", 1)
    assert "read-only" in broker.trouble
    assert await offsets(broker, "c") == [1]
    await broker.stop()


@on_files
async def test_a_file_that_was_set_back_begins_anew(files: Files) -> None:
    """A restored copy has another epoch and no sessions: clients hear of the loss. A plain restart changes nothing."""
    broker = await started(files.new())
    path = broker._path
    await fill(broker, "c", 5)
    await broker.drop("d")
    await fill(broker, "d", 1)
    await broker.drop("d")
    await broker.swap(record("s"), None)
    epochs = (await broker.head("c"))[0], (await broker.head("d"))[0]
    await broker.stop()
    copy = path.read_bytes()
    broker = await started(files.over(path))
    assert ((await broker.head("c"))[0], (await broker.head("d"))[0]) == epochs
    assert await broker.load("s") is not None
    await fill(broker, "c", 5)
    await broker.stop()
    path.write_bytes(copy)
    seen: list[tuple[str, str]] = []
    for _ in range(2):
        broker = await started(files.over(path))
        seen.append(((await broker.head("c"))[0], (await broker.head("d"))[0]))
        assert not set(seen[0]) & set(epochs)
        assert await broker.load("s") is None
        assert await offsets(broker, "c") == [1, 2, 3, 4, 5]
        await broker.stop()
    assert seen[0] == seen[1], "a new epoch at each start"
    alone = files.folder / "alone.db"
    alone.write_bytes(path.read_bytes())
    broker = await started(files.over(alone))
    assert (await broker.head("c"))[0] not in {*epochs, *seen[0]}, "nobody knows how new a copy without its lock is"
    await broker.stop()


@on_files
async def test_new_files_are_private(files: Files) -> None:
    broker = await started(files.new())
    await fill(broker, "c", 1)
    for path in files.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    await broker.stop()


def test_the_clock_of_the_system(tmp_path: Path) -> None:
    async def main() -> None:
        broker = await started(SqliteBroker(tmp_path / "a.db", sync="normal"))
        _, entry = await broker.append("c", "e", b"1", History())
        assert entry.at > 1.7e9
        await broker.stop()

    asyncio.run(main())
    assert Hand.now > 0


@on_files
async def test_times_are_kept_exactly(files: Files) -> None:
    files.clock.now = 1_763_740_800.123456
    broker = await started(files.new())
    await fill(broker, "c", 1)
    assert [entry.at for entry in (await broker.read("c", 0, 10, 1000)).entries] == [files.clock.now]
    await broker.stop()
