"""A plain OpenFlow 1.3 connection to a bridge's management socket: no hub, no threads, only bytes and waiting."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mininet_labs.errors import LabError
from ryu_apps.wire import flowmod, multipart
from ryu_apps.wire.bundle import stage

RUN_DIR = Path("/var/run/openvswitch")
PATIENCE_SECONDS = 60.0

_HELLO, _ECHO_REQUEST, _ECHO_REPLY, _MULTIPART_REPLY, _BARRIER_REPLY = 0, 2, 3, 19, 21
_VERSIONS = struct.pack("!HHI", 1, 8, 1 << 4)
"""Hello element: OpenFlow 1.3 only."""


class Connection:
    """One session. Errors of the switch are errors of the measurement."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(str(RUN_DIR / f"{bridge}.mgmt"))
        self._socket.sendall(flowmod.message(_HELLO, 1, _VERSIONS))
        self._stream = self._socket.makefile("rb", buffering=1 << 20)
        self._barrier_xid = 0xF000_0000
        self.reports: list[bytes] = []
        """What a flow monitor has reported; for whoever reads it to clear."""

    def send(self, messages: bytes) -> float:
        """Send messages and a barrier, and wait for its reply; returns the seconds that took.

        Raises:
            LabError: the switch refused one of them, or went away.
        """
        begin = time.perf_counter()
        for _ in self._until_barrier(messages):
            pass
        return time.perf_counter() - begin

    def transact(self, bundle: bytes) -> float:
        """Send a bundle as the product does: a barrier, and the commit only after its reply; returns the seconds."""
        staged = stage(bundle)
        return self.send(staged.prepare) + (self.send(staged.commit) if staged.commit else 0.0)

    def stream(self, pieces: Iterable[bytes]) -> None:
        """Send a bundle piece by piece as they are made, so that the switch works meanwhile; the last is the commit."""
        waiting = b""
        for piece in pieces:
            self._socket.sendall(waiting)
            waiting = piece
        self.send(b"")
        self.send(waiting)

    def ask(self, requests: bytes) -> list[multipart.Part]:
        """Send multipart requests; the parts of all replies."""
        return [multipart.split(message) for message in self._until_barrier(requests) if message[1] == _MULTIPART_REPLY]

    def entries(self) -> bytes:
        """Flow statistics of every entry, raw."""
        return b"".join(part.body for part in self.ask(flowmod.flow_stats_request(1)))

    def clear(self) -> None:
        """Delete every entry."""
        self.send(flowmod.delete_by_cookie(0, 0, 1))

    def close(self) -> None:
        """End the session."""
        self._stream.close()
        self._socket.close()

    def _until_barrier(self, messages: bytes) -> Iterator[bytes]:
        """Send; then what comes back before the barrier's reply, message by message."""
        self._barrier_xid += 1
        self._socket.sendall(messages + flowmod.barrier_request(self._barrier_xid))
        while (message := self._receive())[1] != _BARRIER_REPLY:
            if message[1] == flowmod.TYPE_ERROR:
                kind, code = struct.unpack_from("!HH", message, flowmod.HEADER.size)
                raise LabError(f"bridge {self._bridge} answers with error type {kind} code {code}")
            if message[1] == _ECHO_REQUEST:
                xid = flowmod.HEADER.unpack_from(message)[3]
                self._socket.sendall(flowmod.message(_ECHO_REPLY, xid, message[flowmod.HEADER.size :]))
            elif message[1] == _MULTIPART_REPLY and not (part := multipart.split(message)).xid:
                self.reports.append(part.body)
            else:
                yield message

    def _receive(self) -> bytes:
        header = self._stream.read(flowmod.HEADER.size)
        if len(header) < flowmod.HEADER.size:
            raise LabError(f"bridge {self._bridge} closed the connection")
        return header + self._stream.read(int.from_bytes(header[2:4], "big") - flowmod.HEADER.size)


@contextmanager
def connection(bridge: str) -> Iterator[Connection]:
    """A session that ends with the block."""
    session = Connection(bridge)
    try:
        yield session
    finally:
        session.close()
