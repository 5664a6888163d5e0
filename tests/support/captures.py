"""Small captures, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4
Packet = tuple[float, bytes]
"""Time and Ethernet frame."""


def tcp(source: str, sport: int, target: str, dport: int, flags: int, payload: int = 0) -> bytes:
    """An Ethernet frame with a TCP segment over IPv4 or IPv6."""
    ends = ip_address(source), ip_address(target)
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, flags, 8192, 0, 0) + bytes(payload)
    if ends[0].version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + ends[0].packed + ends[1].packed
        return bytes(12) + b"\x86\xdd" + head + segment
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + ends[0].packed + ends[1].packed
    return bytes(12) + b"\x08\x00" + head + segment


def arp() -> bytes:
    """A frame that is in no flow."""
    return bytes(12) + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + bytes(20)


def talk(client: str, server: str, sport: int, begin: float) -> list[Packet]:
    """A whole short connection: 4 packets there, 3 back."""
    there, back = (client, sport, server, 80), (server, 80, client, sport)
    frames = [
        tcp(*there, SYN), tcp(*back, SYN | ACK), tcp(*there, ACK), tcp(*there, PSH | ACK, 100),
        tcp(*back, PSH | ACK, 500), tcp(*there, FIN | ACK), tcp(*back, FIN | ACK),
    ]  # fmt: skip
    return [(begin + i / 10, frame) for i, frame in enumerate(frames)]


def pcap(packets: Iterable[Packet], link: int = 1, order: str = "<") -> bytes:
    """A capture file with times in microseconds."""
    records = [
        struct.pack(f"{order}IIII", int(time), round(time % 1 * 1e6), len(frame), len(frame)) + frame
        for time, frame in packets
    ]
    return struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link) + b"".join(records)


def pcapng(packets: Sequence[Packet]) -> bytes:
    """The same as pcapng, with one interface."""
    blocks = [
        _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
        _block(1, struct.pack("<HHI", 1, 0, 65535)),
    ]
    for time, frame in packets:
        micros = round(time * 1e6)
        head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFF_FFFF, len(frame), len(frame))
        blocks.append(_block(6, head + frame + bytes(-len(frame) % 4)))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
