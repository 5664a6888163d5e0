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
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from benchmarks.traffic.frames import checksum
from mininet_labs.attacks import raw

PORT = 8000
COUNT = 40_000
"""Different frames; then they come again."""
_USUAL_PORTS = (PORT, 20_000, 20_500, 21_000)
_TCP, _UDP = 6, 17
_SYN, _ACK = 0x02, 0x10
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
    return b"\x08\x00" + header[:10] + checksum(header) + header[12:] + content


def _ipv6(pair: _Pair, protocol: int, content: bytes) -> bytes:
    """RFC 8200. The content's checksum may be wrong: a switch does not look at it."""
    return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(content), protocol, 64) + b"".join(pair) + content


def _udp(source: int, destination: int) -> bytes:
    return struct.pack("!HHHH", source, destination, 16, 0) + bytes(8)


def _tcp(pair: _Pair, source: int, destination: int, flags: int) -> bytes:
    """RFC 9293: only what is rightly summed is answered, and tracked."""
    segment = struct.pack("!HHIIHHHH", source, destination, 1, 1, 5 << 12 | flags, 1024, 0, 0)
    pseudo = b"".join(pair) + struct.pack("!HH", _TCP, len(segment))
    return segment[:16] + checksum(pseudo + segment) + segment[18:]


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
    interface = raw.first_interface()
    target: IPv4Address | IPv6Address = args.address
    ethernet = raw.packed(args.mac) + raw.mac_of(interface)
    pair = (_own(interface, target.version), target.packed)
    frames = [ethernet + content for content in KINDS[args.kind](pair)]
    sent, seconds = raw.send(frames, interface, args.rate, args.seconds)
    print(f"{sent} {seconds:.3f}")


if __name__ == "__main__":
    main()
