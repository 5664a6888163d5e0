"""Copies of packets, and what those say that open TCP connections: known long before NetFlow tells of the flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.attribute import SIDE
from analyzer.flows import ACK, I8, SYN, TCP, Array, v4_low
from runtime.arrays import COPY, OPENING_BYTES
from runtime.errors import ChannelError

_IPV4, _IPV6 = 0x0800, 0x86DD
_TYPE_AT, _IP_AT = 12, 14
_SMALLEST_IPV4, _IPV6_HEADER, _SMALLEST_TCP = 20, 40, 20
_FRAGMENT_OFFSET = 0x1FFF
OPENINGS = 24
"""Table of the pipeline (docs/pipeline.md) that copies what opens connections."""


@dataclass(frozen=True)
class Opened:
    """What copies say: sides (dtype `SIDE`) without packets and bytes, and how many copies were unreadable."""

    sides: Array
    rubbish: int


@dataclass(frozen=True)
class Copies:
    """Copies of packets of one VFN, as control sends them."""

    rows: Array
    """Dtype `COPY`."""
    starts: I8
    """Where the bytes of each copy begin in the body."""
    body: bytes

    def __len__(self) -> int:
        return len(self.rows)

    def made_by(self, table: int) -> Copies:
        """Those that a table has made."""
        chosen = self.rows["table"] == table
        return Copies(self.rows[chosen], self.starts[chosen], self.body)

    def packets(self) -> Iterator[bytes]:
        """The bytes of each, as far as they were copied."""
        for start, size in zip(self.starts.tolist(), self.rows["size"].tolist(), strict=True):
            yield self.body[start : start + size]

    def heads(self) -> Array:
        """The beginning of each, zeros beyond its end: uint8, shape (copies, OPENING_BYTES)."""
        within = np.arange(OPENING_BYTES)
        octets = np.frombuffer(self.body + bytes(OPENING_BYTES), np.uint8)[self.starts[:, np.newaxis] + within]
        return np.where(within < self.rows["size"][:, np.newaxis], octets, 0).astype(np.uint8)


def read(count: int, body: bytes) -> Copies:
    """Take the body of a message `copies` apart.

    Raises:
        ChannelError: it is not so many copies.
    """
    rows_end = count * COPY.itemsize
    if not 0 <= rows_end <= len(body):
        raise ChannelError(f"{len(body)} bytes hold no {count} copies")
    rows = np.frombuffer(body, COPY, count)
    ends = rows_end + np.cumsum(rows["size"], dtype=np.int64)
    if (ends[-1] if count else rows_end) != len(body):
        raise ChannelError(f"{count} copies do not fill {len(body)} bytes")
    return Copies(rows, ends - rows["size"], body)


def openings(copies: Copies, vfn: int) -> Opened:
    """Read copies of a VFN, all at once: SYNs of TCP over IPv4 or IPv6 without a VLAN tag.

    Not read, and counted: anything else, what is cut within its TCP header, IPv6 with extension headers.
    """
    rows_of, octets = copies.rows, copies.heads()
    kind, tcp_at = _number(octets, _TYPE_AT, 2), _tcp_at(octets)
    fits = tcp_at + _SMALLEST_TCP <= np.minimum(rows_of["length"], OPENING_BYTES)
    tcp_at = np.where(fits, tcp_at, 0)
    rows = np.arange(len(octets))
    opens = octets[rows, tcp_at + 13] & (SYN | ACK) == SYN
    readable = fits & opens & (tcp_at > 0)
    sides = np.zeros(len(octets), SIDE)
    six = kind == _IPV6
    for name, v4_at, v6_at in (("src", _IP_AT + 12, _IP_AT + 8), ("dst", _IP_AT + 16, _IP_AT + 24)):
        sides[f"{name}_hi"] = np.where(six, _number(octets, v6_at, 8), 0)
        sides[f"{name}_lo"] = np.where(six, _number(octets, v6_at + 8, 8), v4_low(_number(octets, v4_at, 4)))
    for name, offset in (("src_port", 0), ("dst_port", 2)):
        sides[name] = octets[rows, tcp_at + offset].astype(np.uint16) << 8 | octets[rows, tcp_at + offset + 1]
    sides["first"] = sides["last"] = rows_of["time"]
    sides["proto"], sides["flags"] = TCP, SYN
    sides["vfn"], sides["port"] = vfn, rows_of["in_port"].astype(np.int32)
    return Opened(sides[readable], int((~readable).sum()))


def _tcp_at(octets: Array) -> I8:
    """Where the TCP header of each frame begins; 0 where there is none."""
    kind, version = _number(octets, _TYPE_AT, 2), octets[:, _IP_AT] >> 4
    header = (octets[:, _IP_AT] & 0x0F).astype(np.int64) * 4
    whole = _number(octets, _IP_AT + 6, 2) & np.uint64(_FRAGMENT_OFFSET) == 0
    four = (kind == _IPV4) & (version == 4) & (header >= _SMALLEST_IPV4) & whole & (octets[:, _IP_AT + 9] == TCP)
    six = (kind == _IPV6) & (version == 6) & (octets[:, _IP_AT + 6] == TCP)
    return np.where(four, _IP_AT + header, np.where(six, _IP_AT + _IPV6_HEADER, 0))


def _number(octets: Array, start: int, size: int) -> Array:
    """Big-endian numbers (uint64) of `size` bytes of each frame."""
    return np.ascontiguousarray(octets[:, start : start + size]).view(f">u{size}")[:, 0].astype(np.uint64)
