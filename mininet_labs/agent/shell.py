"""An admin session that looks like SSH from outside: banners, a password, then single keystrokes and their echo."""

from __future__ import annotations

import random
import socket
import time

from mininet_labs.agent import frames
from mininet_labs.agent.plan import Errand, Target

BANNER = b"SSH-2.0-lab"
PASSWORD = b"correct horse battery staple"
WELCOME, REFUSED = b"welcome", b"refused"
TRIES = 3


def serve_shell(sock: socket.socket) -> None:
    """Greet, ask for the password, echo keystrokes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    frames.send(sock, BANNER)
    if frames.receive(sock) != BANNER:
        return
    for _ in range(TRIES):
        guess = frames.receive(sock)
        if guess == PASSWORD:
            frames.send(sock, WELCOME)
            break
        if guess is None:
            return
        frames.send(sock, REFUSED)
    else:
        return
    while (key := frames.receive(sock)) is not None:
        frames.send(sock, key)


def log_in(sock: socket.socket, password: bytes) -> bool:
    """Exchange banners and try one password.

    Raises:
        OSError: the other side does not speak the protocol, or is gone.
    """
    if frames.receive(sock) != BANNER:
        raise ConnectionError("no banner")
    frames.send(sock, BANNER)
    frames.send(sock, password)
    return frames.receive(sock) == WELCOME


def work(errand: Errand, target: Target, rng: random.Random) -> None:
    """Log in and type for some seconds, about six keys a second.

    Raises:
        OSError: it did not work.
    """
    with frames.dial(target.address, errand.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not log_in(sock, PASSWORD):
            raise ConnectionError("password refused")
        for _ in range(rng.randint(*errand.count)):
            key = rng.randbytes(rng.randint(*errand.bytes))
            frames.send(sock, key)
            if frames.receive(sock) != key:
                raise ConnectionError("keystroke not echoed")
            time.sleep(rng.expovariate(6.0))
