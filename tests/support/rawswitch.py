"""The switch's end of an OpenFlow 1.3 session, byte by byte, for what a real switch cannot be made to do on demand."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PORT_STATUS, PORT_MOD = 12, 16
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21
PORT_DESC = 13
MAC = bytes.fromhex("0200000000fe")
"""Of every port."""


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """One OpenFlow 1.3 message."""
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def describe(number: int, name: str, config: int = 0) -> bytes:
    """An `ofp_port`."""
    return struct.pack("!I4x6s2x16sIIIIIIII", number, MAC, name.encode(), config, *[0] * 7)


class RawSwitch:
    """Connects, shakes hands as `dpid` with `ports` (number -> name), and answers nothing by itself after that."""

    def __init__(self, port: int, dpid: int, ports: Mapping[int, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._stream = self._socket.makefile("rb")
        self.send(message(HELLO, 1, struct.pack("!HHI", 1, 8, 1 << 4)))
        xid, _ = self.wait(FEATURES_REQUEST)
        self.send(message(FEATURES_REPLY, xid, struct.pack("!QIBB2xII", dpid, 0, 254, 0, 0, 0)))
        xid, _ = self.wait(MULTIPART_REQUEST)
        described = b"".join(describe(number, name) for number, name in ports.items())
        self.send(message(MULTIPART_REPLY, xid, struct.pack("!HH4x", PORT_DESC, 0) + described))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def wait(self, kind: int) -> tuple[int, bytes]:
        """Transaction id and body of the next message of a kind; echo requests on the way are answered."""
        while True:
            header = self._stream.read(8)
            assert len(header) == 8, "control closed the connection"
            _, got, length, xid = struct.unpack("!BBHI", header)
            body = self._stream.read(length - 8)
            if got == kind:
                return xid, body
            if got == ECHO_REQUEST:
                self.send(message(ECHO_REPLY, xid, body))

    def closed(self) -> bool:
        """Wait until control has closed its end."""
        while self._stream.read(1):
            pass
        return True

    def close(self) -> None:
        self._stream.close()
        self._socket.close()
