"""Frames of a known size, with right checksums: connection tracking looks at them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, PSH, ACK = 1, 2, 8, 16
ECHO, ECHO_REPLY = 8, 0
SMALLEST = 60
"""Open vSwitch pads what is smaller (IEEE 802.3, without the check sequence)."""


@dataclass(frozen=True)
class End:
    """Where frames come from or go to."""

    name: str
    """Of a VM or outside port."""
    mac: bytes
    address: IPv4Address


def ipv4(source: End, target: End, protocol: int, content: bytes, size: int) -> bytes:
    """A frame of `size` bytes that carries `content`, with the checksum of its transport yet to be filled in."""
    length = size - 14
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, protocol, 0)
    head += source.address.packed + target.address.packed
    head = head[:10] + checksum(head) + head[12:]
    return target.mac + source.mac + b"\x08\x00" + head + content


def tcp(source: End, target: End, ports: tuple[int, int], flags: int, size: int) -> bytes:
    """A TCP segment."""
    segment = struct.pack("!HHIIHHHH", *ports, 1, 1, 5 << 12 | flags, 1024, 0, 0).ljust(size - 34, b"\0")
    sum_ = checksum(_pseudo(source, target, TCP, len(segment)) + segment)
    return ipv4(source, target, TCP, segment[:16] + sum_ + segment[18:], size)


def udp(source: End, target: End, ports: tuple[int, int], size: int) -> bytes:
    """A UDP datagram (without a checksum, as IPv4 allows)."""
    return ipv4(source, target, UDP, struct.pack("!HHHH", *ports, size - 34, 0).ljust(size - 34, b"\0"), size)


def echo(source: End, target: End, kind: int, number: int, size: int) -> bytes:
    """An ICMP echo request or reply; `number` identifies the pair."""
    message = struct.pack("!BBHHH", kind, 0, 0, number, 1).ljust(size - 34, b"\0")
    return ipv4(source, target, ICMP, message[:2] + checksum(message) + message[4:], size)


def checksum(data: bytes) -> bytes:
    """RFC 1071: the sum of 16-bit words in ones' complement, which is the number modulo 65535."""
    padded = data + b"\0" * (len(data) % 2)
    return (0xFFFF - int.from_bytes(padded, "big") % 0xFFFF).to_bytes(2, "big")


def _pseudo(source: End, target: End, protocol: int, length: int) -> bytes:
    return source.address.packed + target.address.packed + struct.pack("!HH", protocol, length)
