"""`python -m mininet_labs.probes.watch --spec SPEC --out JSON`: watches every frame of one VM.

Where it enters the network and where it leaves it, with the kernel's timestamps, whatever its ethertype. SPEC is JSON:
``{"mac", "entry": the VM's port, "exits": [every other endpoint's port], "targets": [addresses], "probe_port": UDP
port, "openings": bool, "ports": [TCP ports]}``. It prints `ready`, watches until TERM, then writes ``{"attack":
[times], "other": [times], "delivered": {port: [times]}, "passed": [times], "missed": frames that the kernel could not
hand over}``; times are epoch seconds. A frame that enters is `attack` when it is for a target (ARP and neighbour
solicitations for it included) and no UDP probe; with `openings` only when it opens a TCP connection to a target, at one
of `ports` if there are any: what a VM ordinarily opens there is none of it. `passed` are those that were delivered.
"""

from __future__ import annotations

import argparse
import errno
import json
import selectors
import signal
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mininet_labs.probes import bpf

_ETH_P_ALL = 0x0003
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_TIMESPEC = struct.Struct("ll")
_BUFFER = 32 << 20
_HEADERS = 128
"""Bytes of a frame that are looked at."""


class Watcher:
    """Raw sockets at the switches' ends of the cables."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._targets = {ip_address(target).packed for target in spec["targets"]}
        self._probe_port = spec["probe_port"]
        self._openings = spec["openings"]
        self._ports = frozenset(spec["ports"])
        self._entry = spec["entry"]
        self.attack: list[float] = []
        self.other: list[float] = []
        self.passed: list[float] = []
        self.delivered: dict[str, list[float]] = {port: [] for port in spec["exits"]}
        self._sockets = [listen(port, spec["mac"]) for port in (self._entry, *spec["exits"])]
        self._stop, self._wake = socket.socketpair()
        self._stop.setblocking(False)

    def stop(self, *_: object) -> None:
        """End `run`."""
        self._wake.send(b".")

    def run(self) -> dict[str, Any]:
        """Watch until stopped, take what is still queued, and return what SPEC's reader wants."""
        with selectors.DefaultSelector() as selector:
            for sock in (*self._sockets, self._stop):
                selector.register(sock, selectors.EVENT_READ)
            stopped = False
            while not stopped:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    if key.fileobj is self._stop:
                        stopped = True
                    else:
                        self._drain(key.fileobj)
        for sock in self._sockets:
            self._drain(sock)
        missed = sum(_missed(sock) for sock in self._sockets)
        seen = {"attack": self.attack, "other": self.other, "delivered": self.delivered, "passed": self.passed}
        return {**seen, "missed": missed}

    def _drain(self, sock: socket.socket) -> None:
        for frame, when, (port, _, kind, *_) in frames(sock):
            self._note(frame, when, port, outgoing=kind == socket.PACKET_OUTGOING)

    def _note(self, frame: bytes, when: float, port: str, *, outgoing: bool) -> None:
        if port == self._entry:
            if not outgoing:
                (self.attack if self._hostile(frame) else self.other).append(when)
        elif outgoing:
            self.delivered[port].append(when)
            if self._hostile(frame):
                self.passed.append(when)

    def _hostile(self, frame: bytes) -> bool:
        ethertype = frame[12:14]
        if self._openings:
            opened = _opened(frame) if ethertype == b"\x08\x00" and frame[30:34] in self._targets else None
            return opened is not None and (not self._ports or opened in self._ports)
        if ethertype == b"\x08\x00":
            start = 14 + (frame[14] & 0x0F) * 4
            probe = frame[23] == socket.IPPROTO_UDP and frame[start + 2 : start + 4] == self._probe_port.to_bytes(2)
            return frame[30:34] in self._targets and not probe
        if ethertype == b"\x08\x06":
            return frame[38:42] in self._targets
        solicitation = ethertype == b"\x86\xdd" and frame[20] == socket.IPPROTO_ICMPV6 and frame[54:55] == b"\x87"
        return ethertype == b"\x86\xdd" and (frame[62:78] if solicitation else frame[38:54]) in self._targets


def _opened(frame: bytes) -> int | None:
    """The port to which this IPv4 packet opens a TCP connection: with SYN, and without ACK; None: it does not."""
    start = 14 + (frame[14] & 0x0F) * 4
    opens = frame[23] == socket.IPPROTO_TCP and frame[start + 13] & 0x12 == 0x02
    return int.from_bytes(frame[start + 2 : start + 4], "big") if opens else None


def frames(sock: socket.socket) -> Iterator[tuple[bytes, float, tuple[Any, ...]]]:
    """What waits at a socket of `listen`: each frame's first bytes, when it came (epoch seconds), its link address."""
    while True:
        try:
            frame, ancillary, _, address = sock.recvmsg(_HEADERS, 64)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            continue  # told once when somebody takes the interface down; it goes on when that is up again
        yield frame, _time(ancillary), address


def listen(port: str, mac: str) -> socket.socket:
    """A raw socket on one interface that already filters when it is bound, so that no other frame slips in."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    bpf.attach(sock, bpf.from_mac(mac))
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.bind((port, _ETH_P_ALL))
    sock.setblocking(False)
    return sock


def _time(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return float(seconds) + float(nanoseconds) / 1e9
    raise RuntimeError("the kernel gave no timestamp")


def _missed(sock: socket.socket) -> int:
    _, drops = struct.unpack("II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return int(drops)


def main() -> None:
    """Watch until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    watcher = Watcher(json.loads(args.spec.read_text()))
    signal.signal(signal.SIGTERM, watcher.stop)
    print("ready", flush=True)
    args.out.write_text(json.dumps(watcher.run()))


if __name__ == "__main__":
    main()
