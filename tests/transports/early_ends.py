"""Dials a peer that resets what it accepts, given up in each turn of the loop in turn; run by test_adopt.

A process of its own, because libuv's answer to a closed descriptor that is watched is to end it. Arguments: the loop
and the way. Ends with status 1 and a word when a closed descriptor is still watched.
"""

import asyncio
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import uvloop

from heartline.transports import DialError, dial

PATIENCE = 10.0


def options_of(way: str, port: int) -> tuple[str, dict[str, Any]]:
    """The URL and options of a dial that ends at the port."""
    if way == "proxy":
        return "ws://127.0.0.1:1/", {"proxy": f"http://127.0.0.1:{port}"}
    if way == "plain":
        return f"ws://127.0.0.1:{port}/", {}
    context = ssl.create_default_context()
    if way == "tls over a transport":  # as where Python's OpenSSL is linked into it
        context._aiofastnet_force_fallback_ssl = True  # type: ignore[attr-defined]
    return f"wss://127.0.0.1:{port}/", {"ssl": context}


class Resets:
    """Connects for this loop; the peer resets before anybody else knows of the connection. Calls `then` a turn later."""

    def __init__(self, loop: Any, listening: socket.socket) -> None:
        self.then: Callable[[], None] = lambda: None
        self._listening = listening
        self._connect = loop.sock_connect
        loop.sock_connect = self

    async def __call__(self, sock: socket.socket, where: Any) -> None:
        await self._connect(sock, where)
        peer, name = self._listening.accept()
        while name != sock.getsockname():  # one that was given up before it was connected
            peer.close()
            peer, name = self._listening.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        poll = select.poll()
        poll.register(sock, 0)  # errors and hang-ups are told always
        assert poll.poll(PATIENCE * 1000), "the reset did not arrive"
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self.then())  # behind the callback of the dial, which waits for this task


NUMBERS = range(256)  # more descriptors than this process has


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def open_descriptors() -> list[int]:
    return [number for number in NUMBERS if is_open(number)]


def closed_and_watched(loop: asyncio.AbstractEventLoop) -> list[int]:
    """Descriptors that are closed and the loop still watched until now."""
    return [n for n in NUMBERS if not is_open(n) and (loop.remove_reader(n) or loop.remove_writer(n))]


async def give_up(turns: int, late: bool, resets: Resets, url: str, options: dict[str, Any]) -> bool:
    """Dial and cancel after so many turns; whether the dial ended before that.

    `late`: turns from the connection on, and in each turn after what the dial does in it.
    """
    connected = asyncio.get_running_loop().create_future()

    def start() -> None:
        if not connected.done():
            connected.set_result(None)

    resets.then = start
    task = asyncio.create_task(dial(url, Mock(), **options))
    task.add_done_callback(lambda _: start())
    if late:
        await connected
    for _ in range(turns):
        await asyncio.sleep(0)
    ended = not task.cancel()
    try:
        await task
    except (asyncio.CancelledError, DialError):
        return ended
    raise AssertionError("the dial succeeded")


async def all_closed(before: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(open_descriptors()) > len(before):
        assert time.monotonic() < deadline, "a socket stayed open"
        await asyncio.sleep(0)


async def main(way: str, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    resets = Resets(loop, listening)
    url, options = options_of(way, listening.getsockname()[1])
    before = open_descriptors()
    for late in (False, True):
        for turns in range(200):
            ended = await give_up(turns, late, resets, url, options)
            await all_closed(before)
            watched = closed_and_watched(loop)
            assert not watched, f"given up after {turns} turns, {late=}: closed and still watched: {watched}"
            if ended:
                break
        else:
            raise AssertionError("no dial ended by itself")


if __name__ == "__main__":
    _, chosen, by = sys.argv
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        {"asyncio": asyncio.run, "uvloop": uvloop.run}[chosen](main(by, server))
