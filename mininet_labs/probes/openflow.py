"""`python -m mininet_labs.probes.openflow --port N --out JSON`: does the controller answer echo requests in time?

A raw TCP client says hello like a switch, never answers the features request, and sends an ECHO_REQUEST ten times a
second (OpenFlow 1.3, section 7.5.2). TERM ends it; then JSON ``{"sent", "answered", "max_ms", "p99_ms", "slowest_at",
"reconnects"}`` is written. An echo that is never answered counts with the time it was waited for.
"""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import struct
import time
from pathlib import Path

_HEADER = struct.Struct("!BBHI")
_VERSION = 4
_HELLO, _ECHO_REQUEST, _ECHO_REPLY = 0, 2, 3
INTERVAL = 0.1


class EchoProbe:
    """One connection after the other, and the times of all echoes."""

    def __init__(self, address: str, port: int) -> None:
        self._where = (address, port)
        self._waiting: dict[int, float] = {}
        self._times: list[tuple[float, float]] = []
        self._buffer = bytearray()
        self._sent = 0
        self._connections = 0
        self._stop = False

    def stop(self, *_: object) -> None:
        """End `run`."""
        self._stop = True

    def run(self) -> dict[str, float | None]:
        """Ask until stopped; a connection that the controller closes is made anew."""
        while not self._stop:
            try:
                with socket.create_connection(self._where, timeout=INTERVAL) as sock:
                    self._connections += 1
                    if self._connections == 1:
                        print("ready", flush=True)
                    self._talk(sock)
            except OSError:
                time.sleep(INTERVAL)
        return self._result()

    def _talk(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 0))
        self._buffer.clear()
        due = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            while not self._stop:
                if (now := time.monotonic()) >= due:
                    self._sent += 1
                    self._waiting[self._sent] = now
                    sock.sendall(_HEADER.pack(_VERSION, _ECHO_REQUEST, _HEADER.size, self._sent))
                    due += INTERVAL
                if selector.select(max(0.0, due - time.monotonic())):
                    chunk = sock.recv(1 << 16)
                    if not chunk:
                        return
                    self._take(sock, chunk)

    def _take(self, sock: socket.socket, chunk: bytes) -> None:
        self._buffer += chunk
        while len(self._buffer) >= _HEADER.size:
            version, kind, length, xid = _HEADER.unpack_from(self._buffer)
            if length < _HEADER.size:
                raise ConnectionError(f"message of {length} bytes")
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[_HEADER.size : length])
            del self._buffer[:length]
            if kind == _ECHO_REPLY and xid in self._waiting:
                self._times.append((time.time(), time.monotonic() - self._waiting.pop(xid)))
            elif kind == _ECHO_REQUEST:
                sock.sendall(_HEADER.pack(version, _ECHO_REPLY, length, xid) + body)

    def _result(self) -> dict[str, float | None]:
        now = time.monotonic()
        open_ends = [(time.time(), now - since) for since in self._waiting.values() if now - since > INTERVAL]
        times = self._times + open_ends
        order = sorted(round(1000 * seconds, 3) for _, seconds in times)
        slowest = max(times, key=lambda pair: pair[1], default=(0.0, 0.0))
        return {
            "sent": self._sent,
            "answered": len(self._times),
            "max_ms": order[-1] if order else None,
            "p99_ms": order[int(0.99 * (len(order) - 1))] if order else None,
            "slowest_at": slowest[0],
            "reconnects": max(0, self._connections - 1),
        }


def main() -> None:
    """Probe until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    probe = EchoProbe(args.address, args.port)
    signal.signal(signal.SIGTERM, probe.stop)
    args.out.write_text(json.dumps(probe.run()))


if __name__ == "__main__":
    main()
