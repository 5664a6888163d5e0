"""What of each flow in the table is on record already, so that every packet comes onto the record exactly once.

A flow that ends is recorded whole. One that goes on is recorded in parts, each with what came since the part before;
the sums over its parts are the flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8, FLOW, I8, Array

COUNTERS = ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")
_TOLD = np.dtype([*((name, "<u8") for name in COUNTERS), ("end", "<f8"), ("parts", "<u2")])
_MOST_PARTS = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Parts:
    """Rows for the record."""

    rows: Array
    """Dtype FLOW; counters, start and end of the part alone."""
    opened: F8
    """Epoch seconds of the whole flow's first packet."""
    number: Array
    """uint16; 0 is a flow's first part."""

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def whole(cls, rows: Array) -> Parts:
        """Flows of a single part."""
        return cls(rows, rows["start"].copy(), np.zeros(len(rows), np.uint16))

    @classmethod
    def concat(cls, parts: list[Parts]) -> Parts:
        """All rows one after the other."""
        if not parts:
            return cls.whole(np.zeros(0, FLOW))
        columns = [[getattr(part, name) for part in parts] for name in ("rows", "opened", "number")]
        return cls(*(np.concatenate(column) for column in columns))


class Ledger:
    """Keeps the count beside a table of flows with `size` slots."""

    def __init__(self, size: int) -> None:
        self._told = np.zeros(size, _TOLD)
        self._displaced: list[Parts] = []

    def begin(self, slots: I8) -> None:
        """New flows stand in these slots: nothing of them is on record."""
        self._told[slots] = np.zeros(1, _TOLD)

    def turn(self, slots: I8) -> None:
        """The other end of these flows is their initiator."""
        told = self._told[slots]
        for source, target in (("src_pkts", "dst_pkts"), ("src_bytes", "dst_bytes")):
            self._told[source][slots], self._told[target][slots] = told[target], told[source]

    def move(self, old: I8, new: I8) -> None:
        """Flows have moved from slots to others; all other slots are free."""
        told = self._told[old]
        self._told[:] = np.zeros(1, _TOLD)
        self._told[new] = told

    def displace(self, slots: I8, table: Array) -> None:
        """These flows are about to leave the table; what is not on record of them is kept for `take_displaced`."""
        parts = self.take(slots, table)
        if len(parts):
            self._displaced.append(parts)

    def take_displaced(self) -> Parts:
        """What `displace` kept, once."""
        parts, self._displaced = self._displaced, []
        return Parts.concat(parts)

    def take(self, slots: I8, table: Array) -> Parts:
        """What came in these flows (slots of `table`, dtype FLOW) since they were last taken; none twice."""
        slots = self._fresh(slots, table)
        rows, told = table[slots], self._told[slots]
        opened = rows["start"].copy()
        rows["start"] = np.where(told["parts"] > 0, told["end"], rows["start"])
        for name in COUNTERS:
            self._told[name][slots] = rows[name]
            rows[name] -= told[name]
        self._told["end"][slots] = rows["end"]
        self._told["parts"][slots] = np.minimum(told["parts"] + 1, _MOST_PARTS)
        return Parts(rows, opened, told["parts"].astype(np.uint16))

    def lasting(self, slots: I8, table: Array, seconds: float) -> Parts:
        """Parts of flows of which `seconds` or more are not on record."""
        told, rows = self._told[slots], table[slots]
        since = np.where(told["parts"] > 0, told["end"], rows["start"])
        return self.take(slots[rows["end"] - since >= seconds], table)

    def _fresh(self, slots: I8, table: Array) -> I8:
        """Those of `slots`, each once, in which there is something that is not on record."""
        slots = np.unique(slots)
        more = np.zeros(len(slots), bool)
        for name in COUNTERS:
            more |= table[name][slots] > self._told[name][slots]
        return slots[more]
