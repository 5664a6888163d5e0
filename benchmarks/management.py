"""A plain OpenFlow 1.3 session with a bridge's management socket: no hub, no threads, only bytes and waiting."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from mininet_labs.errors import LabError
from ryu_apps.wire.flowmod import HEADER, barrier_request, message

RUN_DIR = Path("/var/run/openvswitch")

ERROR, MULTIPART_REPLY = 1, 19
_HELLO, _ECHO_REQUEST, _ECHO_REPLY, _BARRIER_REPLY = 0, 2, 3, 21
_VERSIONS = struct.pack("!HHI", 1, 8, 1 << 4)
"""Hello element: OpenFlow 1.3 only."""


class Management:
    """One session; the transaction ids of its barriers begin at 0xF0000001.

    Args:
        bridge: its name.
        seconds: patience with each answer.

    Raises:
        LabError: the bridge closes the connection.
        OSError: there is no such bridge, or it does not answer in time.
    """

    def __init__(self, bridge: str, seconds: float) -> None:
        self._bridge = bridge
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        self._socket.connect(str(RUN_DIR / f"{bridge}.mgmt"))
        self._socket.sendall(message(_HELLO, 1, _VERSIONS))
        self._stream = self._socket.makefile("rb", buffering=1 << 20)
        self._barrier_xid = 0xF000_0000

    def send(self, messages: bytes) -> None:
        """Send, and wait for nothing."""
        self._socket.sendall(messages)

    def exchange(self, messages: bytes) -> Iterator[bytes]:
        """Send messages and a barrier; then what comes back before its reply, one by one, greetings left out."""
        self._barrier_xid += 1
        self._socket.sendall(messages + barrier_request(self._barrier_xid))
        while (received := self._receive())[1] != _BARRIER_REPLY:
            if received[1] == _ECHO_REQUEST:
                xid = HEADER.unpack_from(received)[3]
                self._socket.sendall(message(_ECHO_REPLY, xid, received[HEADER.size :]))
            elif received[1] != _HELLO:
                yield received

    def close(self) -> None:
        """End the session."""
        self._stream.close()
        self._socket.close()

    def _receive(self) -> bytes:
        header = self._stream.read(HEADER.size)
        if len(header) < HEADER.size:
            raise LabError(f"bridge {self._bridge} closed the connection")
        return header + self._stream.read(int.from_bytes(header[2:4], "big") - HEADER.size)
