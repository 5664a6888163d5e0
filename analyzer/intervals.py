"""An interval of the time-series database, as the analyzer tells it: sums by pair of segments, VM and VFN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.archive.decisions import Decision
from analyzer.flows import Array
from topology.model import OUTSIDE, Inventory

GROUP, OTHERS = "group", "(others)"
"""Segments of no inventory: multicast and the like; and what is over the bound."""
NO_VFN = "-"
PAIR_FIELDS = ("flows", "packets", "bytes", "reply_packets", "reply_bytes", "failed")
VM_FIELDS = (
    *("flows_out", "flows_in", "packets_out", "packets_in", "bytes_out", "bytes_in"),
    *("denied_out", "denied_in", "failed"),
)
VFN_FIELDS = ("flows", "packets", "bytes")
PAIR_TAGS = ("src", "dst", "service", "decision")
PAIR = np.dtype([*((name, "<i4") for name in PAIR_TAGS), *((name, "<i8") for name in PAIR_FIELDS)])
"""`src`, `dst`, `service`: indices in `Tags.segments` and `Tags.services`."""
VM = np.dtype([("vm", "<i4"), ("risk", "<f4"), *((name, "<i8") for name in VM_FIELDS)])
VFN = np.dtype([("vfn", "<i4"), ("decision", "<i4"), *((name, "<i8") for name in VFN_FIELDS)])
"""`vfn`: index in `Tags.vfns`."""


@dataclass(frozen=True)
class Tags:
    """The names behind the numbers of an interval; a function of inventory and settings, so both ends know it."""

    segments: tuple[str, ...]
    services: tuple[str, ...]
    vfns: tuple[str, ...]

    @classmethod
    def of(cls, inventory: Inventory, services: Sequence[str]) -> Tags:
        """Of a network."""
        segments = {segment.number: segment.name for segment in inventory.segments.values()}
        vfns = {vfn.number: vfn.name for vfn in inventory.vfns.values()}
        named = [segments.get(number, OUTSIDE) for number in range(max(segments, default=0) + 1)]
        return cls(
            (GROUP, *named, OTHERS),
            (*services, "tcp/other", "udp/other", "icmp", "other"),
            (*(vfns.get(number, NO_VFN) for number in range(max(vfns, default=-1) + 1)), NO_VFN),
        )


DECISIONS = tuple(decision.name.lower() for decision in Decision)


@dataclass(frozen=True)
class Interval:
    """What happened between two moments (epoch seconds)."""

    number: int
    begin: float
    end: float
    pairs: Array
    """dtype `PAIR`."""
    vms: Array
    """dtype `VM`."""
    vfns: Array
    """dtype `VFN`."""
    verdicts: tuple[tuple[str, str, bool, int, float], ...]
    """(behaviour, segment, confirmed, how many, highest risk)."""
    outside: tuple[int, float]
    """Outside addresses with risk, and the highest."""

    def encode(self) -> tuple[dict[str, Any], bytes]:
        """As a message: fields, and a body of the three arrays."""
        arrays = (self.pairs, self.vms, self.vfns)
        data = {
            **{name: getattr(self, name) for name in ("number", "begin", "end", "outside", "verdicts")},
            "rows": [len(array) for array in arrays],
        }
        return data, b"".join(array.tobytes() for array in arrays)


def decode(data: Mapping[str, Any], body: bytes) -> Interval:
    """The interval that `Interval.encode` made this of.

    Raises:
        ValueError: the body is not so many rows.
    """
    arrays: list[Array] = []
    at = 0
    for dtype, rows in zip((PAIR, VM, VFN), data["rows"], strict=True):
        arrays.append(np.frombuffer(body, dtype, rows, at))
        at += rows * dtype.itemsize
    if at != len(body):
        raise ValueError(f"{len(body)} bytes instead of {at}")
    verdicts = tuple((str(b), str(s), bool(c), int(n), float(r)) for b, s, c, n, r in data["verdicts"])
    subjects, risk = data["outside"]
    pairs, vms, vfns = arrays
    outside = int(subjects), float(risk)
    return Interval(data["number"], data["begin"], data["end"], pairs, vms, vfns, verdicts, outside)
