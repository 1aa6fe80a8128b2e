import subprocess
import sys

import pytest

from heartline.transports import Headers, Request, Respond, SocketLimits


def test_headers_are_looked_up_in_any_case_and_joined() -> None:
    headers = Headers([("Accept", "a"), ("X-One", "1"), ("ACCEPT", "b"), ("Cookie", "c=1"), ("cookie", "d=2")])
    assert headers["accept"] == headers["Accept"] == "a, b"
    assert headers["cookie"] == "c=1; d=2"
    assert "x-ONE" in headers
    assert 5 not in headers
    assert list(headers) == ["accept", "x-one", "cookie"]
    assert headers.get("missing") is None
    assert Headers({"Connection": "keep-alive , Upgrade,"}).tokens("connection") == ("keep-alive", "Upgrade")


def test_headers_are_lines_and_nothing_else() -> None:
    headers = Headers([("Host", "a:8000"), ("X-Empty", ""), ("X-Text", "host:b")])
    assert dict(headers) == {"host": "a:8000", "x-empty": "", "x-text": "host:b"}
    assert len(headers) == 3
    for name in ("hos", "ost", "host:a", "x-text:host", "", "a", "x-empty:\nx-text"):
        assert name not in headers
    assert dict(Headers()) == {}
    for lines in ({"a": "b\nauthorization:c"}, {"a\nb": "c"}, {"a:b": "c"}, {"a": "b\n"}):
        with pytest.raises(ValueError, match="lines"):
            Headers(lines)


def test_a_printed_request_shows_neither_headers_nor_query() -> None:
    request = Request("/path", "token=secret", Headers({"Authorization": "secret"}), "1.2.3.4:5")
    assert "secret" not in repr(request)
    assert "secret" not in repr(request.headers)
    assert "/path" in repr(request)


@pytest.mark.parametrize("status", [0, 100, 101, 199, 299, 600])
def test_respond_takes_only_statuses_there_are(status: int) -> None:
    with pytest.raises(ValueError, match="status"):
        Respond(status)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}, {"": "a"}, {"X": "\0"}, {"X:": "a"}])
def test_respond_takes_no_header_that_breaks_out(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="headers"):
        Respond(headers=headers)
    with pytest.raises(ValueError, match="headers"):
        Respond(content_type="text/plain\r\nX: y")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_message": 0},
        {"handshake_timeout": 0},
        {"write_low": 2 << 20},
        {"write_limit": 1},
        {"max_links": -1},
    ],
)
def test_limits_name_what_is_wrong(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SocketLimits(**wrong)  # type: ignore[arg-type]


def test_the_plain_types_do_not_import_picows() -> None:
    code = (
        "import sys, heartline.transports, heartline.transports.assembly\n"
        "bad = {'picows.api', 'picows.picows', 'aiofastnet.transport', 'python_socks'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "heartline.transports.dial, heartline.transports.listen\n"
        "assert 'picows.picows' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors() -> None:
    import heartline.transports

    with pytest.raises(AttributeError, match="nonsense"):
        heartline.transports.nonsense  # noqa: B018
