"""IPFIX from the VFNs: the flows of IPv6, which NetFlow v5 cannot tell of.

Format: RFC 7011, information elements of IANA's registry. Open vSwitch (ofproto/ofproto-dpif-ipfix.c) sends one record
a message: what came of one flow since its last record, at the latest `cache_active_timeout` after its first packet, and
earlier when its cache is full. Both times are told as microseconds before the export. Three things are ours:

- The observation domain is the VFN's number + 1 (0 is under what Open vSwitch reports of itself).
- The observation point is the TCP flags that the packets of a record have in common
  (`policies.pipeline.sixes`): a flow has a record for each such class, and Open vSwitch tells no flags otherwise.
- The VM is known by the name of the interface where the packets came in, never by their addresses.

Templates come at the exporter's start and every ten minutes. What comes to an analyzer that started in between is read
by the layouts that Open vSwitch 3.1 has; records must fit them to the byte.
"""

from __future__ import annotations

import logging
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analyzer.attribute import SIDE
from analyzer.flows import TCP, Array

VERSION = 10
_MESSAGE = struct.Struct("!HHIII")
"""version, length, export time, sequence, observation domain"""
_HEAD = struct.Struct("!HH")
"""of a set: id, length; of a template: id, fields; of a field: element, length"""
_TEMPLATES, _OPTIONS, _FIRST_DATA = 2, 3, 256
_ENTERPRISE = 0x8000
_ANY_LENGTH = 0xFFFF
_LONG = 255
COMPLAINT_SECONDS = 10.0
"""Between two lines of the log about datagrams that were left out."""
MOST_TEMPLATES = 4096
"""Kept; a network of 50 VFNs has so many. Who sends more is not heard."""
_MOST_FIELDS = 128
_RESTART = 1 << 20
"""A sequence that jumps further ahead, or back, is a restarted exporter's."""
_NAME_BYTES = 16

log = logging.getLogger("dynseg.analyzer.ipfix")

Fields = tuple[tuple[int, int], ...]
"""(information element, length) in order; vendors' own elements have negative numbers, which nobody asks for."""

_PROTOCOL, _SRC_PORT, _SRC, _DST, _DST_PORT, _ICMP_TYPE = 4, 7, 27, 28, 11, 178
_PACKETS, _FRAME_BYTES, _INTERFACE, _POINT, _SINCE_FIRST, _SINCE_LAST = 2, 352, 82, 138, 158, 159
_NEEDED = {
    _PROTOCOL: 1, _SRC: 16, _DST: 16, _PACKETS: 8, _FRAME_BYTES: 8, _POINT: 4, _SINCE_FIRST: 4, _SINCE_LAST: 4,
}  # fmt: skip
"""Element -> bytes; besides the interface's name."""
_MAY_BE = {_SRC_PORT: 2, _DST_PORT: 2, _ICMP_TYPE: 1}
_ICMP_ANSWERS = (1, 2, 3, 4, 129)
"""Errors and echo replies: RFC 4443."""


def _fields(text: str) -> Fields:
    pairs = (word.split(":") for word in text.split())
    return tuple((int(element), int(length)) for element, length in pairs)


_KEY = _fields(
    "138:4 61:1 56:6 80:6 256:2 240:1 10:4 368:4 82:65535 83:65535 60:1 192:1 4:1 195:1 196:1 5:1 27:16 28:16 31:4"
)
_COUNTED = _fields(
    "158:4 159:4 133:8 135:8 2:8 86:8 354:8 355:8 356:8 357:8 358:8 19:8 174:8 352:8 353:8 136:1 132:8 134:8 1:8 85:8"
    " 198:8 199:8 25:8 26:8 20:8 175:8"
)
_PORTS, _ICMP, _TCP_TOTALS = (
    _fields("7:2 11:2"),
    _fields("178:1 179:1"),
    _fields("222:8 219:8 221:8 220:8 218:8 223:8"),
)
USUAL: Mapping[int, Fields] = {
    296: _KEY + _COUNTED,
    300: _KEY + _PORTS + _COUNTED + _TCP_TOTALS,
    304: _KEY + _PORTS + _COUNTED,
    308: _KEY + _PORTS + _COUNTED,
    312: _KEY + _ICMP + _COUNTED,
}
"""Open vSwitch's templates of IPv6 without VLAN or tunnel: any protocol, TCP, UDP, SCTP, ICMPv6."""


@dataclass(frozen=True)
class Decoded:
    """What datagrams said."""

    sides: Array
    """dtype `SIDE`; without their port and VMs."""
    interfaces: Array
    """S16, where each side's packets came in."""


class Decoder:
    """Templates, sequences and counts of all exporters."""

    def __init__(self) -> None:
        self._templates: dict[tuple[int, int], Fields] = {}
        self._next: dict[int, int] = {}
        self.records = 0
        self.lost: dict[int, int] = {}
        """Records that the network lost, by VFN number."""
        self.rubbish = 0
        """Datagrams that are no IPFIX, or lie about a length."""
        self.unread = 0
        """Records of templates that are not known or tell something else."""
        self._complained = float("-inf")

    def status(self) -> dict[str, int]:
        """Counts for people."""
        lost = sum(self.lost.values())
        return {"records": self.records, "lost": lost, "rubbish": self.rubbish, "unread": self.unread}

    def decode(self, datagrams: Iterable[tuple[float, bytes]]) -> Decoded:
        """Read datagrams, each with the epoch seconds of its receipt."""
        found: dict[tuple[Fields, tuple[int, ...], int], list[tuple[float, int, bytes]]] = defaultdict(list)
        for received, datagram in datagrams:
            try:
                domain, sequence, sets = _sets(datagram)
                records = [record for kind, body in sets for record in self._records(domain, kind, body)]
            except _RubbishError as error:
                self._complain(str(error))
                continue
            for fields, lengths, data in records:
                if fields is None:
                    self.unread += 1
                else:
                    found[fields, lengths, len(data)].append((received, domain - 1, data))
            if records:
                self._count(domain, sequence, len(records))
        parts = [_read(_layout(*shape), rows) for shape, rows in found.items()]
        sides = np.concatenate([sides for sides, _ in parts]) if parts else np.zeros(0, SIDE)
        names = np.concatenate([names for _, names in parts]) if parts else np.zeros(0, f"S{_NAME_BYTES}")
        self.records += len(sides)
        return Decoded(sides, names)

    def _records(self, domain: int, kind: int, body: bytes) -> Iterator[tuple[Fields | None, tuple[int, ...], bytes]]:
        """(fields, lengths of those of any length, bytes) of the records of a data set; templates are learned."""
        if kind == _TEMPLATES:
            for number, fields in _announced(body):
                if (domain, number) in self._templates or len(self._templates) < MOST_TEMPLATES:
                    self._templates[domain, number] = fields
        if kind < _FIRST_DATA or not 0 < domain <= 1 << 15:
            return  # options, which describe the exporter, and what Open vSwitch reports of itself
        known = self._templates.get((domain, kind)) or USUAL.get(kind)
        shape = None if known is None else _shape(known)
        if shape is None:
            yield None, (), b""
            return
        at = 0
        while at + shape.least <= len(body):  # less is padding
            lengths, end = shape.extent(body, at)
            yield known, lengths, body[at:end]
            at = end

    def _count(self, domain: int, sequence: int, records: int) -> None:
        expected = self._next.get(domain)
        if expected is not None and 0 < (gap := (sequence - expected) % 2**32) < _RESTART:
            self.lost[domain - 1] = self.lost.get(domain - 1, 0) + gap
        self._next[domain] = (sequence + records) % 2**32

    def _complain(self, why: str) -> None:
        self.rubbish += 1
        if time.monotonic() >= self._complained + COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            log.warning("%d datagrams so far are no IPFIX and were left out; one has %s", self.rubbish, why)


class _RubbishError(Exception):
    """A datagram that is no IPFIX; says why."""


def _sets(datagram: bytes) -> tuple[int, int, list[tuple[int, bytes]]]:
    """Observation domain, sequence, (id, content) of each set."""
    if len(datagram) < _MESSAGE.size:
        raise _RubbishError(f"{len(datagram)} bytes are less than a header")
    version, length, _, sequence, domain = _MESSAGE.unpack_from(datagram)
    if version != VERSION or length != len(datagram):
        raise _RubbishError(f"version {version} and {length} bytes, where {len(datagram)} came")
    found, at = [], _MESSAGE.size
    while at < length:
        kind, size = _HEAD.unpack_from(datagram, at) if at + _HEAD.size <= length else (0, 0)
        if size < _HEAD.size or at + size > length:
            raise _RubbishError(f"a set of {size} bytes, {length - at} before the end")
        found.append((kind, datagram[at + _HEAD.size : at + size]))
        at += size
    return domain, sequence, found


def _announced(body: bytes) -> Iterator[tuple[int, Fields]]:
    at = 0
    while at + _HEAD.size <= len(body):
        number, count = _HEAD.unpack_from(body, at)
        if number == 0:
            return  # padding
        at += _HEAD.size
        if number < _FIRST_DATA or not 0 < count <= _MOST_FIELDS:
            raise _RubbishError(f"template {number} of {count} fields")
        fields = []
        for _ in range(count):
            if at + _HEAD.size > len(body):
                raise _RubbishError(f"template {number} is cut")
            element, length = _HEAD.unpack_from(body, at)
            at += _HEAD.size
            if element & _ENTERPRISE:
                element, at = -(element & ~_ENTERPRISE), at + 4
            fields.append((element, length))
        yield number, tuple(fields)


@dataclass(frozen=True)
class _Shape:
    """What it takes to find the end of a record."""

    gaps: tuple[int, ...]
    """Bytes ahead of each field of any length, since the one before."""
    tail: int
    """Bytes behind the last of them."""

    @property
    def least(self) -> int:
        """Bytes of the shortest record."""
        return sum(self.gaps) + len(self.gaps) + self.tail

    def extent(self, body: bytes, at: int) -> tuple[tuple[int, ...], int]:
        """Lengths of a record's fields of any length (with their own bytes of length: RFC 7011, 7), and its end."""
        lengths = []
        for gap in self.gaps:
            at += gap
            if at >= len(body):
                raise _RubbishError("a record is cut")
            if body[at] == _LONG:
                raise _RubbishError("a name of 255 bytes or more")
            lengths.append(1 + body[at])
            at += lengths[-1]
        at += self.tail
        if at > len(body):
            raise _RubbishError("a record is cut")
        return tuple(lengths), at


@lru_cache(1024)
def _shape(fields: Fields) -> _Shape | None:
    """None: such records do not tell of IPv6 flows what has to be known."""
    told = dict(fields)
    fits = told.get(_INTERFACE) == _ANY_LENGTH and all(told.get(key) == size for key, size in _NEEDED.items())
    if not fits or any(told.get(key, size) != size for key, size in _MAY_BE.items()):
        return None
    gaps, gap = [], 0
    for _, length in fields:
        if length == _ANY_LENGTH:
            gaps.append(gap)
        gap = 0 if length == _ANY_LENGTH else gap + length
    return _Shape(tuple(gaps), gap)


@lru_cache(1024)
def _layout(fields: Fields, lengths: tuple[int, ...], size: int) -> np.dtype[np.void]:
    """How numpy reads records of one shape: the columns that are asked for, of those that came twice the first."""
    columns: dict[str, tuple[str, int]] = {}
    at, given = 0, iter(lengths)
    formats = {1: "u1", 2: ">u2", 4: ">u4", 8: ">u8", 16: "V16"}
    for element, length in fields:
        here = next(given) if length == _ANY_LENGTH else length
        if element == _INTERFACE:
            columns.setdefault(str(element), (f"S{max(1, here - 1)}", at + 1))
        elif element in _NEEDED or element in _MAY_BE:
            columns.setdefault(str(element), (formats[length], at))
        at += here
    names, places = tuple(columns), tuple(columns.values())
    return np.dtype({
        "names": names, "formats": [form for form, _ in places], "offsets": [at for _, at in places], "itemsize": size,
    })  # fmt: skip


def _read(layout: np.dtype[np.void], rows: list[tuple[float, int, bytes]]) -> tuple[Array, Array]:
    """Sides and interface names of records of one shape."""
    received, vfns, data = zip(*rows, strict=True)
    raw = np.frombuffer(b"".join(data), layout)
    sides = np.zeros(len(raw), SIDE)
    came = np.array(received)
    sides["first"], sides["last"] = (came - raw[str(key)] / 1e6 for key in (_SINCE_FIRST, _SINCE_LAST))
    for name, key in (("src", _SRC), ("dst", _DST)):
        halves = np.frombuffer(raw[str(key)].tobytes(), ">u8").reshape(-1, 2)
        sides[f"{name}_hi"], sides[f"{name}_lo"] = halves[:, 0], halves[:, 1]
    told = layout.names or ()
    for name, key in (("src_port", _SRC_PORT), ("dst_port", _DST_PORT)):
        if str(key) in told:
            sides[name] = raw[str(key)]
    if str(_ICMP_TYPE) in told:
        sides["answers"] = np.isin(raw[str(_ICMP_TYPE)], _ICMP_ANSWERS)
    sides["pkts"], sides["bytes"], sides["proto"] = raw[str(_PACKETS)], raw[str(_FRAME_BYTES)], raw[str(_PROTOCOL)]
    sides["flags"] = np.where(sides["proto"] == TCP, raw[str(_POINT)] & 0x3F, 0)
    sides["vfn"] = vfns
    return sides, raw[str(_INTERFACE)].astype(f"S{_NAME_BYTES}")
