"""How many packets a capture file holds, and whether it was cut off.

Formats: pcap as in draft-ietf-opsawg-pcap, pcapng as in draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PCAP = {
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">",
}  # fmt: skip
"""Byte order by the first four bytes: of microseconds and of nanoseconds."""
PCAPNG = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_PACKET_BLOCKS = (2, 3, 6)
"""Packet (obsolete), simple packet, enhanced packet."""


@dataclass(frozen=True)
class Framed:
    """What the framing says."""

    packets: int
    """Whole ones."""
    cut: str
    """Where the file breaks off; "" when it ends as it should."""


def count_packets(path: Path) -> Framed:
    """Walk through a pcap or pcapng file; anything else holds no packets."""
    with path.open("rb") as file:
        size = path.stat().st_size
        magic = file.read(4)
        if magic in PCAP:
            return _pcap(file, PCAP[magic], size)
        return _pcapng(file, size) if magic == PCAPNG else Framed(0, "")


def _pcap(file: BinaryIO, order: str, size: int) -> Framed:
    packets, at = 0, 24
    while at < size:
        file.seek(at + 8)
        head = file.read(4)
        at += 16 + (struct.unpack(f"{order}I", head)[0] if len(head) == 4 else 0)
        if len(head) < 4 or at > size:
            return Framed(packets, f"breaks off in packet {packets + 1}")
        packets += 1
    return Framed(packets, "" if at == size else "breaks off in its header")


def _pcapng(file: BinaryIO, size: int) -> Framed:
    packets, at, order = 0, 0, "<"
    while at < size:
        file.seek(at)
        head = file.read(12)
        if len(head) == 12 and head[:4] == PCAPNG:
            order = _BYTE_ORDER.get(head[8:], order)
        kind, length = struct.unpack(f"{order}II", head[:8]) if len(head) == 12 else (0, 0)
        at += length
        if length < 12 or at > size:
            return Framed(packets, f"breaks off after packet {packets}")
        packets += kind in _PACKET_BLOCKS
    return Framed(packets, "")
