"""`python -m benchmarks.vfn.traffic MODE ...`: what the VMs of a measurement do, one process each, until TERM.

`sink PORT` takes TCP connections and datagrams and answers nothing of its own; `datagrams ADDRESS PORT RATE` sends so
many a second; `transfer ADDRESS PORT BYTES` keeps a TCP transfer of so many bytes a second running, and connects anew
when it breaks; `flows ADDRESS MAC PORT COUNT RATE` goes round COUNT source ports with RATE datagrams a second, as raw
frames of the namespace's first interface. They print nothing: whether traffic flows is seen on the wire.
"""

from __future__ import annotations

import argparse
import fcntl
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

_SO_MAX_PACING_RATE = 47
_TCP_USER_TIMEOUT = 18
BROKEN_MS = 300
"""A transfer whose bytes are not acknowledged for so long is made anew."""
FIRST_PORT = 10_000
_SIOCGIFADDR, _SIOCGIFHWADDR = 0x8915, 0x8927
_CHUNK = bytes(1 << 16)
_TICK = 0.001


def sink(port: int) -> None:
    """Take what comes."""
    listener = socket.create_server(("", port), backlog=64)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", port))  # never read: there only so that the kernel does not answer "unreachable"
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                elif not _read(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def _read(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(len(_CHUNK)))
    except OSError:
        return False  # reset by a sender who gave up


def datagrams(address: str, port: int, rate: float) -> None:
    """Send numbered datagrams."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    number = 0

    def send() -> None:
        nonlocal number
        number += 1
        try:
            sock.send(struct.pack("!I", number))
        except OSError:
            return  # no carrier, or no answer to ARP: the VM is cut off at this moment

    _paced(send, rate)


def transfer(address: str, port: int, bytes_per_second: int) -> None:
    """Keep a transfer running."""
    while True:
        try:
            with socket.create_connection((address, port), timeout=BROKEN_MS / 1000) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, BROKEN_MS)
                sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, bytes_per_second)
                sock.setblocking(True)
                while True:
                    sock.send(_CHUNK)
        except OSError:
            time.sleep(BROKEN_MS / 1000)


def flows(address: str, mac: str, port: int, count: int, rate: float) -> None:
    """Keep so many flows alive."""
    interface = next(path.name for path in sorted(Path("/sys/class/net").iterdir()) if path.name != "lo")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((interface, 0))
    frames = cycle(_frames(interface, address, mac, port, count))
    _paced(lambda: sock.send(next(frames)), rate)


def _frames(interface: str, address: str, mac: str, port: int, count: int) -> Iterator[bytes]:
    """One UDP frame for each source port (RFC 768; no checksum, which IPv4 permits)."""
    own_mac, own_address = _ioctl(interface, _SIOCGIFHWADDR)[18:24], _ioctl(interface, _SIOCGIFADDR)[20:24]
    ethernet = bytes.fromhex(mac.replace(":", "")) + own_mac + b"\x08\x00"
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_UDP, 0)
    addresses = own_address + socket.inet_aton(address)
    checksum = _checksum(header + addresses)
    header = header[:10] + checksum.to_bytes(2, "big") + addresses
    for number in range(count):
        yield ethernet + header + struct.pack("!HHHH", FIRST_PORT + number, port, 8, 0)


def _ioctl(interface: str, request: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock.fileno(), request, struct.pack("256s", interface.encode()))


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _paced(send: Callable[[], object], rate: float) -> None:
    """Call again and again, so often a second on average; several at once where the pause would be too short."""
    due = time.monotonic()
    while True:
        now = time.monotonic()
        while due <= now:
            send()
            due += 1 / rate
        time.sleep(max(_TICK, due - time.monotonic()))


_MODES: dict[str, tuple[Callable[..., None], tuple[type, ...]]] = {
    "sink": (sink, (int,)),
    "datagrams": (datagrams, (str, int, float)),
    "transfer": (transfer, (str, int, int)),
    "flows": (flows, (str, str, int, int, float)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do it until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=_MODES)
    parser.add_argument("values", nargs="*")
    args = parser.parse_args(arguments)
    function, types = _MODES[args.mode]
    function(*(kind(text) for kind, text in zip(types, args.values, strict=True)))


if __name__ == "__main__":
    main()
