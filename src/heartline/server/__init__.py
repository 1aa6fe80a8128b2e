"""The asyncio shell around the pure node: the application's handlers, sockets and a broker meet here."""

from .app import Server
from .channels import Channel
from .logins import Identity
from .refusals import Refuse
from .session import Message, Session
from .stats import Address, Stats

__all__ = ["Address", "Channel", "Identity", "Message", "Refuse", "Server", "Session", "Stats"]
