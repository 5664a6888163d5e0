"""Frames on a TCP stream, `!I` length and payload, and the dual-stack server that the lab's own protocols share."""

from __future__ import annotations

import socket
import socketserver
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("!I")
LIMIT = 1 << 20
PATIENCE = 5.0
"""Seconds that either side waits for the other before the exchange has failed."""


def send(sock: socket.socket, payload: bytes) -> None:
    """Send one frame."""
    sock.sendall(_LENGTH.pack(len(payload)) + payload)


def receive(sock: socket.socket) -> bytes | None:
    """The next frame; None at the end of the stream.

    Raises:
        ConnectionError: the stream ends within a frame, or claims one that is too long.
    """
    head = _exactly(sock, _LENGTH.size, may_end=True)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LIMIT:
        raise ConnectionError(f"frame of {length} bytes")
    return _exactly(sock, length)


def _exactly(sock: socket.socket, size: int, *, may_end: bool = False) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = sock.recv(size - len(parts))
        if not chunk:
            if may_end and not parts:
                return b""
            raise ConnectionError("closed within a frame")
        parts += chunk
    return bytes(parts)


def dial(address: str, port: int) -> socket.socket:
    """A TCP connection with the lab's patience."""
    return socket.create_connection((address, port), timeout=PATIENCE)


class Server(socketserver.ThreadingTCPServer):
    """Hands each connection, IPv4 or IPv6, to a function in a thread of its own."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, talk: Callable[[socket.socket], None]) -> None:
        self._talk = talk
        super().__init__(("::", port), socketserver.BaseRequestHandler)

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], _address: object) -> None:
        """Let the protocol talk; a peer that goes away in the middle is that peer's business."""
        assert isinstance(request, socket.socket)
        request.settimeout(60.0)
        try:
            self._talk(request)
        except OSError:
            return
