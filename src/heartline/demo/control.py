"""The control link of every page, spoken in heartline.1 at /control: its network, and the proof.

Invariants, tests in ``tests/demo/test_control.py``:
- pages of other origins get nowhere, nor do names that somebody made point here (test_foreign_pages_get_nowhere);
- what a page asks for is checked (test_nonsense_is_refused).
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from heartline.core.policy import ServerLimits
from heartline.server import Identity, Refuse, Server, Session
from heartline.transports.api import Request

from .network import Cut, Network, Seen, Wish
from .prover import Prover

_LIMITS = ServerLimits(message=16 * 1024)


def make_control(hosts: frozenset[str], network: Callable[[], Network], prover: Callable[[], Prover]) -> Server:
    """The application behind the panels. `hosts`: names besides localhost and addresses that this machine is called."""
    app = Server(path="/control", limits=_LIMITS)
    app.channel("prove", history=400, ttl=3600)

    @app.login
    def login(_: Any, request: Request) -> Identity:
        if not is_our_name(request.headers.get("host", ""), hosts):
            raise Refuse("host", "this name is not one of this machine")
        return Identity("page")

    @app.on("network.wish")
    def wish(session: Session, wish: Wish) -> Seen:
        return network().wish(session, wish)

    @app.on("network.cut")
    def cut(session: Session, cut: Cut) -> int:
        return network().cut(session, cut)

    @app.on("prove.start")
    def start() -> int:
        number = prover().start()
        if number is None:
            raise Refuse("busy", "it is running already")
        return number

    @app.on("prove.stop")
    def stop() -> bool:
        return prover().stop()

    @app.opened
    def opened(session: Session, _resumed: bool) -> None:
        network().attached(session)

    @app.detached
    def detached(session: Session) -> None:
        network().detached(session)

    @app.ended
    def ended(session: Session) -> None:
        network().ended(session)

    return app


def is_our_name(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header is an address, localhost or one of `names`: no name that others make point here."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
