"""`heartline serve`: the relay and applications."""

import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
import trustme

from .processes import Running, free_port, relay, run

APP = """\
import heartline

app = heartline.Server()
app.channel("log/{name}", publish=True)
number = 3
"""

WRONG_APPS = [
    ("shop", "expected MODULE:APP"),
    ("shop.py:app", "shop:app"),
    ("nowhere:app", "no module 'nowhere'"),
    ("shop:other", "did you mean shop:app?"),
    ("shop:number", "is of type int"),
    ("raises:app", "raises.py, line 2"),
    ("wants:app", "no_such_package"),
    ("syntax:app", "syntax.py, line 1"),
    ("starts:app", "no database"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "raises.py").write_text("import heartline\n1 / 0\n")
    (tmp_path / "wants.py").write_text("import no_such_package\n")
    (tmp_path / "syntax.py").write_text("def (:\n")
    hook = "@app.startup\ndef begin() -> None:\n    raise RuntimeError('no database')\n"
    (tmp_path / "starts.py").write_text(APP + hook)
    return tmp_path


def test_the_first_line_is_the_address(tmp_path: Path) -> None:
    with Running("serve", "--port", "0", cwd=tmp_path) as server:
        url = server.line()
        assert url.startswith("ws://127.0.0.1:")
        host, _, port = url.removeprefix("ws://").rstrip("/").partition(":")
        socket.create_connection((host, int(port)), timeout=10).close()
        server.signal(signal.SIGTERM)
        assert server.end() == 0


def test_the_relay_stays_on_loopback(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "example.com"):
        done = run("serve", "--host", host, "--port", "0")
        assert done.returncode == 2
        assert "--open" in done.stderr
    for words in (("--host", "localhost"), ("--host", "0.0.0.0", "--open")):
        with Running("serve", "--port", "0", *words, cwd=tmp_path) as server:
            assert server.line().startswith("ws://")


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    with relay() as url:
        done = run("serve", "--port", url.rstrip("/").rpartition(":")[2], cwd=tmp_path)
    assert done.returncode == 2
    assert "is in use: stop what listens there" in done.stderr


def test_the_relay_keeps_a_file(tmp_path: Path) -> None:
    """Without a word about it the relay survives SIGKILL: what it took is in ./heartline.db."""
    for since, kill in ((1, signal.SIGKILL), (11, signal.SIGTERM)):
        with Running("serve", "--port", "0", cwd=tmp_path) as server:
            url = server.line()
            lines = "".join(f"{i}\n" for i in range(since, since + 10))
            assert run("send", url, "--channel", "n", stdin=lines).returncode == 0
            heard = run("listen", url, "n", "--count", str(since + 9)).stdout.split()
            assert heard == [str(i) for i in range(1, since + 10)]
            server.signal(kill)
            server.end()
    assert (tmp_path / "heartline.db").stat().st_mode & 0o077 == 0


def test_a_file_in_use_is_explained(tmp_path: Path) -> None:
    with Running("serve", "--port", "0", cwd=tmp_path) as server:
        server.line()
        done = run("serve", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "heartline.db is in use by another process; --broker takes another file, or memory://" in done.stderr
    for url in ("sqlite://", "redis://x", "sqlite:///x?sync=never"):
        done = run("serve", "--broker", url)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "--broker" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_relay_has_a_page_and_tells_its_health() -> None:
    with relay() as url:
        base = url.replace("ws://", "http://")
        assert run("send", url, "--channel", "a/b c", "--quiet", stdin="1\n2\n").returncode == 0
        with urllib.request.urlopen(base, timeout=10) as answer:
            page = answer.read().decode()
        assert f"heartline listen {url}" in page
        assert "2 entries published" in page.replace("\n", " ")
        with urllib.request.urlopen(f"{base}health", timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"
        request = urllib.request.Request(base, headers={"Host": "<script>"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert b"<script>" not in answer.read()


def test_history_is_bounded_and_what_is_missing_is_told() -> None:
    with relay("--history", "10") as url:
        assert run("send", url, "--channel", "n", stdin="".join(f"{i}\n" for i in range(30))).returncode == 0
        done = run("listen", url, "n", "--count", "10")
    assert done.stdout.split() == [str(i) for i in range(20, 30)]
    assert "gap: entries 1 to 20 of 'n' may be lost: the server keeps them no longer" in done.stderr


@pytest.mark.parametrize(("name", "part"), WRONG_APPS)
def test_a_wrong_app_is_explained(folder: Path, name: str, part: str) -> None:
    done = run("serve", name, "--port", "0", cwd=folder)
    assert done.returncode == 2
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_app_decides_for_itself(folder: Path) -> None:
    for option in (("--origin", "*"), ("--history", "5"), ("--heartbeat", "1,1"), ("--open",)):
        done = run("serve", "shop:app", "--port", "0", *option, cwd=folder)
        assert done.returncode == 2
        assert "heartline.Server(...)" in done.stderr


def test_an_app_is_served_and_restarted(folder: Path) -> None:
    """The same client goes on when the server is killed and started again; that memory was lost is told."""
    port = free_port()
    words = ("serve", "shop:app", "--port", str(port), "--drain", "0")
    url = f"ws://127.0.0.1:{port}/"
    with Running("listen", url, "log/a", "--heartbeat", "0.5,0.5") as listener:
        with Running(*words, cwd=folder) as server:
            server.line()
            assert run("send", url, "--channel", "log/a", stdin="before\n").returncode == 0
            assert listener.line() == "before"
            server.signal(signal.SIGKILL)
            server.end()
        with Running(*words, cwd=folder) as server:
            server.line()
            assert run("send", url, "--channel", "log/a", stdin="after\n").returncode == 0
            assert listener.line() == "after"
            assert "the server lost its log" in listener.err.until("gap:")
            done = run("send", url, "--channel", "other", stdin="x\n" * 3000)
            assert done.returncode == 1
            assert "nothing can be published there: line 1: refused: unknown_channel" in done.stderr
            assert len(done.stderr.splitlines()) < 5
            server.signal()
            assert server.end() == 0


def test_tls(tmp_path: Path) -> None:
    authority, cert, key, ca = trustme.CA(), tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(ca)
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(cert, append=True)
    with relay("--tls-cert", str(cert), "--tls-key", str(key)) as url:
        assert url.startswith("wss://")
        assert run("send", url, "--channel", "c", "--ca", str(ca), stdin="hi\n").returncode == 0
        assert run("listen", url, "c", "--ca", str(ca), "--count", "1").stdout == "hi\n"
        refused = run("listen", url, "c", "--give-up-after", "0.5")
        assert refused.returncode == 1
        assert "heartline listen: " in refused.stderr
    assert run("serve", "--tls-cert", str(ca)).returncode == 2
