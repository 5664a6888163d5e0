"""`python -m benchmarks.vfn.headers KIND MAC ADDRESS RATE SECONDS`: raw frames at a steady rate.

It sends in the name of the namespace's first interface, to a MAC and an address behind it. KIND:

- `syns`: TCP SYNs over IPv4 to port `PORT`, from every port in random order.
- `plain`: IPv6 datagrams of one flow.
- `scattered`: IPv6 datagrams between random ports.
- `crafted`: IPv6 datagrams and segments that look like answers, each of whose ports differs from a usual one first in
  one bit: what makes a classifier look at as many different prefixes of both ports as it can, so that its cache fills
  with as many masks (Csikor et al., "Tuple Space Explosion", CoNEXT 2019; CVE-2019-25076).

Prints how many frames were sent in how many seconds.
"""

from __future__ import annotations

import argparse
import random
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import cycle
from pathlib import Path

PORT = 8000
COUNT = 40_000
"""Different frames; then they come again."""
_USUAL_PORTS = (PORT, 20_000, 20_500, 21_000)
_TCP, _UDP = 6, 17
_SYN, _ACK = 0x02, 0x10
_TICKS_PER_SECOND = 1000
_BEHIND_SECONDS = 0.5
_SEED = 5
_Pair = tuple[bytes, bytes]
"""Packed addresses, source and destination."""


def syns(pair: _Pair) -> Iterator[bytes]:
    """A SYN from each port."""
    for port in random.Random(_SEED).sample(range(1024, 65536), COUNT):
        yield _ipv4(pair, _tcp(pair, port, PORT, _SYN))


def plain(pair: _Pair) -> Iterator[bytes]:
    """One flow."""
    yield from [_ipv6(pair, _UDP, _udp(40_000, PORT))] * COUNT


def scattered(pair: _Pair) -> Iterator[bytes]:
    """Any ports."""
    chance = random.Random(_SEED)
    for _ in range(COUNT):
        yield _ipv6(pair, _UDP, _udp(chance.randrange(1, 1 << 16), chance.randrange(1, 1 << 16)))


def crafted(pair: _Pair) -> Iterator[bytes]:
    """Ports near those that rules name, at every distance."""
    chance = random.Random(_SEED)

    def near() -> int:
        bit = chance.randrange(16)
        return (chance.choice(_USUAL_PORTS) ^ 1 << bit ^ chance.randrange(1 << bit)) or 1

    for number in range(COUNT):
        source, destination = near(), near()
        if number % 2:
            yield _ipv6(pair, _UDP, _udp(source, destination))
        else:
            yield _ipv6(pair, _TCP, _tcp(pair, source, destination, _ACK))


KINDS: Mapping[str, Callable[[_Pair], Iterator[bytes]]] = {
    "syns": syns,
    "plain": plain,
    "scattered": scattered,
    "crafted": crafted,
}


def _ipv4(pair: _Pair, content: bytes) -> bytes:
    """RFC 791, without options."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, _TCP, 0) + b"".join(pair)
    return b"\x08\x00" + header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + content


def _ipv6(pair: _Pair, protocol: int, content: bytes) -> bytes:
    """RFC 8200. The content's checksum may be wrong: a switch does not look at it."""
    return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(content), protocol, 64) + b"".join(pair) + content


def _udp(source: int, destination: int) -> bytes:
    return struct.pack("!HHHH", source, destination, 16, 0) + bytes(8)


def _tcp(pair: _Pair, source: int, destination: int, flags: int) -> bytes:
    """RFC 9293: only what is rightly summed is answered, and tracked."""
    segment = struct.pack("!HHIIHHHH", source, destination, 1, 1, 5 << 12 | flags, 1024, 0, 0)
    pseudo = b"".join(pair) + struct.pack("!HH", _TCP, len(segment))
    return segment[:16] + checksum(pseudo + segment).to_bytes(2, "big") + segment[18:]


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(frames: Sequence[bytes], interface: str, rate: int, seconds: float) -> tuple[int, float]:
    """Send them round and round, some each millisecond; returns how many, and in how many seconds.

    A sender that was held up catches up for `_BEHIND_SECONDS` at most.
    """
    batch = max(1, rate // _TICKS_PER_SECOND)
    endless = cycle(frames)
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        begin = due = time.monotonic()
        while (now := time.monotonic()) - begin < seconds:
            if now < due:
                time.sleep(due - now)
                continue
            for _ in range(batch):
                sock.send(next(endless))
            sent += batch
            due = max(due + batch / rate, now - _BEHIND_SECONDS)
        return sent, time.monotonic() - begin


def _own(interface: str, version: int) -> bytes:
    """The interface's address of this family, packed. The first of global scope."""
    command = ["ip", f"-{version}", "-o", "addr", "show", "dev", interface, "scope", "global"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ip_address(shown.split()[3].partition("/")[0]).packed


def main(arguments: Sequence[str] | None = None) -> None:
    """Send."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("mac")
    parser.add_argument("address", type=ip_address)
    parser.add_argument("rate", type=int)
    parser.add_argument("seconds", type=float)
    args = parser.parse_args(arguments)
    interface = next(path.name for path in sorted(Path("/sys/class/net").iterdir()) if path.name != "lo")
    target: IPv4Address | IPv6Address = args.address
    own_mac = Path(f"/sys/class/net/{interface}/address").read_text().strip()
    ethernet = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in (args.mac, own_mac))
    pair = (_own(interface, target.version), target.packed)
    frames = [ethernet + content for content in KINDS[args.kind](pair)]
    sent, seconds = send(frames, interface, args.rate, args.seconds)
    print(f"{sent} {seconds:.3f}")


if __name__ == "__main__":
    main()
