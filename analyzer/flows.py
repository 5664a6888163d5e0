"""The columnar currency of the analyzer: one numpy structured array of flows, never an object a flow."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from itertools import pairwise
from socket import AF_INET, inet_pton
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

FLOW = np.dtype(
    [
        ("start", "<f8"),  # epoch seconds
        ("end", "<f8"),
        ("src_hi", "<u8"),  # 128-bit addresses, see `address_halves`; src is the initiator
        ("src_lo", "<u8"),
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("src_pkts", "<u8"),  # sent by src
        ("dst_pkts", "<u8"),
        ("src_bytes", "<u8"),
        ("dst_bytes", "<u8"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("proto", "u1"),  # IANA number; NO_IP for ARP, LLDP ...
        ("flags", "u1"),  # TCP flags of both directions, ORed
        ("state", "u1"),  # FlowState
        ("vfn", "<i2"),  # where the initiator's packets came in; -1 unknown
        ("port", "<i4"),
        ("src_vm", "<i4"),  # VM number; 0 outside; NOBODY: multicast, link-local, unspecified
        ("dst_vm", "<i4"),
        ("src_segment", "<i2"),  # segment number; 0 outside; NOBODY as above
        ("dst_segment", "<i2"),
        ("risk", "<f4"),  # 0..100, of the flow alone
        ("fate", "<u2"),  # Fate
    ]
)

NOBODY = -1
NO_IP = 255
TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class FlowState(IntFlag):
    """What an event says about its flow. In a batch of events the counters are what came since the last event."""

    NEW = 1
    """First time that packets of the initiator are seen."""
    FAILED = 2
    """A TCP connection that was refused at once or never answered."""
    FINAL = 4
    """Nothing more will come."""
    SPOOFED = 8
    """The source address is not one of the VM's on whose port it came in."""
    ANSWERED_ONLY = 16
    """Only replies were seen so far: the initiator has sent nothing that counts."""
    ASKED = 32
    """A copy of the first packet alone: whom the initiator turns to is known, a record of the flow is to come."""


class Fate(IntFlag):
    """What VFNs say that they did with a flow's packets: the initiator's, and those of the other end.

    In an event: what its own reports say. In a flow: what was said last.
    """

    FORWARDED = 1
    """Not dropped by the VFN where they came in."""
    DROPPED = 2
    """Denied by their own direction's rules at the VFN where they came in: it passed them at most as answers."""
    DELIVERED = 4
    """Went out of a VM's or outside port."""
    STOPPED = 8
    """As DROPPED, by a VFN that they reached over a cable."""
    CUT = 256
    """The initiator's packets passed once, and do not pass any more."""


ANSWERS_SHIFT = 4
"""The same flags, this much further left, are about the packets of the other end."""


@dataclass(frozen=True)
class FlowBatch:
    """Flows or flow events, in order of arrival. `rows` has dtype `FLOW`."""

    rows: Array

    def __post_init__(self) -> None:
        if self.rows.dtype != FLOW:
            raise TypeError(f"rows have dtype {self.rows.dtype}, not FLOW")

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def empty(cls, count: int = 0) -> FlowBatch:
        """`count` zeroed rows."""
        return cls(np.zeros(count, FLOW))

    @classmethod
    def concat(cls, batches: list[FlowBatch]) -> FlowBatch:
        """All rows one after the other."""
        return cls(np.concatenate([b.rows for b in batches])) if batches else cls.empty()

    def slices(self, seconds: float, count: int) -> Iterator[FlowBatch]:
        """The rows of each step of `steps`."""
        edges = self.steps(seconds, count).tolist()
        for begin, end in pairwise(edges):
            yield FlowBatch(self.rows[begin:end])

    def steps(self, seconds: float, count: int) -> I8:
        """Where to cut the rows: at each new `seconds` of their ends' clock, within it after `count`, twice as many ...

        So the first rows of a burst are seen at once, and a large burst costs few steps. The clock never goes back:
        what comes late counts at the newest time seen. The last cut is behind the last row.
        """
        if not len(self):
            return np.zeros(1, np.int64)
        clock = np.floor(np.maximum.accumulate(self.rows["end"]) / seconds)
        edges = np.r_[0, np.flatnonzero(np.diff(clock)) + 1, len(self)]
        cuts = [edges]
        for begin in edges[:-1][np.diff(edges) > count].tolist():
            end = edges[np.searchsorted(edges, begin, side="right")]
            sizes = count << np.arange(int(np.log2((end - begin) / count)) + 1)
            cuts.append(begin + sizes[sizes < end - begin])
        return np.sort(np.concatenate(cuts))


_V4 = 0xFFFF_0000_0000
MAC_PREFIX = 0x0100_0000_0000_0000
"""High half of a MAC-addressed row: 100::/64, the discard-only prefix of RFC 6666, names nobody on a network."""


def address_halves(text: str) -> tuple[int, int]:
    """High and low 64 bits of an IPv4 (as ::ffff:a.b.c.d), IPv6 or MAC address (under `MAC_PREFIX`).

    Raises:
        ValueError: none of the three.
    """
    try:
        return 0, _V4 | int.from_bytes(inet_pton(AF_INET, text))  # most are these, and it is several times faster
    except OSError:
        octets = text.split(":")
    if len(octets) == 6 and all(len(octet) == 2 for octet in octets):
        return MAC_PREFIX, int("".join(octets), 16)
    address = ipaddress.ip_address(text)
    value = int(address)
    return (0, _V4 | value) if address.version == 4 else (value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF)


def fill_segments(rows: Array, segments: Array) -> Array:
    """The same rows (dtype FLOW) with the segments of their VMs; `segments` are numbers by number of VM."""
    for end in ("src", "dst"):
        vm = rows[f"{end}_vm"]
        rows[f"{end}_segment"] = np.where(vm == NOBODY, NOBODY, segments[np.maximum(vm, 0)])
    return rows


def address_text(high: int, low: int) -> str:
    """The address that `address_halves` made these from."""
    if high == MAC_PREFIX:
        return ":".join(f"{low:012x}"[i : i + 2] for i in range(0, 12, 2))
    if high == 0 and low >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(low & 0xFFFF_FFFF))
    return str(ipaddress.IPv6Address(high << 64 | low))


def v4_low(addresses: Array) -> U8:
    """Low halves of IPv4 addresses given as 32-bit numbers; their high half is 0."""
    return np.asarray(addresses.astype(np.uint64) | np.uint64(_V4))


def is_v4(high: Array, low: Array) -> Bool:
    """IPv4 addresses, by their halves."""
    return np.asarray((high == 0) & (low >> np.uint64(32) == 0xFFFF))


def is_group(high: Array, low: Array) -> Bool:
    """Addresses of no single host: multicast, broadcast, link-local, unspecified, loopback, group MACs."""
    v4 = is_v4(high, low)
    value = low & np.uint64(0xFFFF_FFFF)
    first = value >> np.uint64(24)
    v4_group = (first >= 224) | (first == 127) | (first == 0) | (value >> np.uint64(16) == 0xA9FE)
    mac = high == np.uint64(MAC_PREFIX)
    mac_group = (low >> np.uint64(40)) & np.uint64(1) == 1
    v6_group = (high >> np.uint64(56) == 0xFF) | (high >> np.uint64(54) == 0xFE80 >> 6) | ((high == 0) & (low <= 1))
    return np.asarray(np.where(v4, v4_group, np.where(mac, mac_group, v6_group)), bool)
