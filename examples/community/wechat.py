"""Who somebody is, by the code that `wx.login` gave: WeChat's code2session, and a stand-in for tests and the demo.

Invariants:
- a code is worth as much as WeChat says; what a client says about itself is not believed
  (test_an_open_id_is_not_believed);
- where nobody answers, or WeChat is busy, clients are asked to come back, and not turned away
  (test_an_outage_turns_nobody_away);
- neither secret nor code is in any log or answer (test_secrets_are_not_told).
"""

import logging
from collections import OrderedDict
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import msgspec

import heartline
from heartline import Refuse, Request, Respond

logger = logging.getLogger("community")

URL: Final = "https://api.weixin.qq.com/sns/jscode2session"
_TIMEOUT: Final = 5.0
_MOST: Final = 1 << 16  # bytes of an answer
_BUSY: Final = {-1, 45011}


class Answer(msgspec.Struct):
    """What code2session says, as far as it matters here."""

    openid: str = ""
    errcode: int = 0


class WeChat:
    """An address that exchanges codes, and what it knows this application by."""

    def __init__(self, url: str, app_id: str = "", secret: str = "") -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"code2session must be an http or https address, not {url!r}")
        self._url = url
        self._query = {"appid": app_id, "secret": secret, "grant_type": "authorization_code"}

    def open_id(self, code: str) -> str:
        """Whose code this is. Blocks for seconds at worst. Raises `Refuse`, for now or for good."""
        query = urlencode({**self._query, "js_code": code})
        try:
            with urlopen(f"{self._url}?{query}", timeout=_TIMEOUT) as reply:
                answer = msgspec.json.decode(reply.read(_MOST), type=Answer)
        except (URLError, OSError, msgspec.DecodeError) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the socket
            logger.warning("code2session does not answer: %s", type(error).__name__)
            raise Refuse("busy", "the login service does not answer", retry=5) from None
        if answer.openid:
            return answer.openid
        if answer.errcode in _BUSY:
            raise Refuse("busy", "the login service is busy", retry=5)
        logger.info("code2session refused a code: %d", answer.errcode)
        raise Refuse("bad_code", f"WeChat does not accept this login ({answer.errcode})")


def stand_in() -> heartline.Server:
    """WeChat's side, for tests and the demo: "ann-1f3" is a code of o-ann, good for one use."""
    app = heartline.Server()
    used: OrderedDict[str, None] = OrderedDict()

    @app.page("/sns/jscode2session")
    def exchange(request: Request) -> Respond:
        code = parse_qs(request.query).get("js_code", [""])[0]
        name, dash, more = code.partition("-")
        if not (name.isalnum() and dash and more):
            return _json({"errcode": 40029, "errmsg": "invalid code"})
        if code in used:
            return _json({"errcode": 40163, "errmsg": "code been used"})
        used[code] = None
        if len(used) > 10_000:
            used.popitem(last=False)
        return _json({"openid": f"o-{name}", "session_key": "none"})

    return app


def _json(body: dict[str, object]) -> Respond:
    return Respond(200, msgspec.json.encode(body), "application/json")
