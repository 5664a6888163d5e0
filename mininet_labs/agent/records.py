"""The database's protocol: a frame that asks for N bytes, a frame that holds them; and pushes of bulk data."""

from __future__ import annotations

import random
import socket
import time

from mininet_labs.agent import frames
from mininet_labs.agent.plan import Errand, Target

_BLOCK = random.Random(0).randbytes(1 << 16)
BULK_RATE = 8e6
"""Bytes a second of a backup: a disk's pace, not the network's."""


def serve_records(sock: socket.socket) -> None:
    """Answer queries until the client goes."""
    while (query := frames.receive(sock)) is not None:
        frames.send(sock, _BLOCK[: int(query)])


def query(errand: Errand, target: Target, rng: random.Random) -> None:
    """A session of queries, a few a second as an application makes them.

    Raises:
        OSError: it did not work.
    """
    with frames.dial(target.address, errand.port) as sock:
        for _ in range(rng.randint(*errand.count)):
            size = rng.randint(*errand.bytes)
            frames.send(sock, str(size).encode())
            answer = frames.receive(sock)
            if answer is None or len(answer) != size:
                raise ConnectionError("the answer is cut")
            time.sleep(rng.expovariate(10.0))


def serve_bulk(sock: socket.socket) -> None:
    """Take frames until an empty one, then say how many bytes came."""
    total = 0
    while block := frames.receive(sock):
        total += len(block)
    frames.send(sock, str(total).encode())


def serve_sink(sock: socket.socket) -> None:
    """Take everything, say nothing."""
    while sock.recv(1 << 18):
        pass


def push(errand: Errand, target: Target, rng: random.Random) -> None:
    """Send a few megabytes and have them confirmed.

    Raises:
        OSError: it did not work.
    """
    size = left = rng.randint(*errand.bytes)
    with frames.dial(target.address, errand.port) as sock:
        while left > 0:
            block = _BLOCK[:left]
            frames.send(sock, block)
            left -= len(block)
            time.sleep(len(block) / BULK_RATE)
        frames.send(sock, b"")
        confirmed = frames.receive(sock)
    if confirmed is None or int(confirmed) != size:
        raise ConnectionError(f"{confirmed!r} of {size} bytes confirmed")
