"""`python -m benchmarks.vfn.traffic MODE ...`: what the VMs of a measurement do, one process each, until TERM.

`sink PORT` takes TCP connections and datagrams and answers nothing of its own; `datagrams ADDRESS PORT RATE` sends so
many a second; `transfer ADDRESS PORT BYTES` keeps a TCP transfer of so many bytes a second running, and connects anew
when it breaks; `flows ADDRESS MAC PORT COUNT RATE` goes round COUNT source ports with RATE datagrams a second, as raw
frames of the namespace's first interface. They print nothing: whether traffic flows is seen on the wire.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import math
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address

from benchmarks.traffic.frames import End, udp
from mininet_labs.attacks import raw

_SO_MAX_PACING_RATE = 47
_TCP_USER_TIMEOUT = 18
BROKEN_MS = 300
"""A transfer whose bytes are not acknowledged for so long is made anew."""
FIRST_PORT = 10_000
_SIOCGIFADDR = 0x8915
_SMALLEST_UDP = 42
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

    due = time.monotonic()
    while True:
        while due <= time.monotonic():
            number += 1
            due += 1 / rate
            with contextlib.suppress(OSError):  # no carrier, or no answer to ARP: the VM is cut off at this moment
                sock.send(struct.pack("!I", number))
        time.sleep(max(_TICK, due - time.monotonic()))


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


def flows(address: str, mac: str, port: int, count: int, rate: int) -> None:
    """Keep so many flows alive."""
    interface = raw.first_interface()
    raw.send([*_frames(interface, address, mac, port, count)], interface, rate, behind=math.inf)


def _frames(interface: str, address: str, mac: str, port: int, count: int) -> Iterator[bytes]:
    """One empty UDP frame for each source port."""
    own = End("own", raw.mac_of(interface), IPv4Address(_address_of(interface)))
    target = End("target", raw.packed(mac), IPv4Address(address))
    for number in range(count):
        yield udp(own, target, (FIRST_PORT + number, port), _SMALLEST_UDP)


def _address_of(interface: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()))[20:24]


_MODES: dict[str, tuple[Callable[..., None], tuple[type, ...]]] = {
    "sink": (sink, (int,)),
    "datagrams": (datagrams, (str, int, float)),
    "transfer": (transfer, (str, int, int)),
    "flows": (flows, (str, str, int, int, int)),
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
