"""What each VM does with each service it turns to: a row for every (initiator, destination, protocol, port).

Windows count what a subject does altogether; guessing at one login, calling one dead address again and again, or asking
one server for orders show only in what is done with that one. All steps take whole columns; memory is bounded by
`MOST_SERVICES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8, I8, TCP, U8, UDP, Array, Bool, FlowState
from analyzer.keytable import KeyTable, mix
from analyzer.observe import Novelty

MOST_SERVICES = 1 << 16
"""Rows; beyond, those that were not used for longest are forgotten."""
PAUSE = 3600.0
"""Seconds of silence after which an acquaintance begins anew."""
VISIT = 1.0
"""Connections less than so many seconds apart are one visit: a page fetches its parts at once."""

ROW = np.dtype(
    [
        ("subject", "<i4"),
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("proto", "u1"),
        ("port", "<u2"),
        ("outside", "?"),
        ("unknown", "?"),  # the segment (outside) or the VM (inside) never talked to that address
        ("unheard", "?"),  # nor anybody of the segment to such a service
        ("first", "<f8"),
        ("last", "<f8"),
        ("opened", "<f8"),  # connections
        ("failed", "<f8"),
        ("bytes_out", "<f8"),
        ("bytes_in", "<f8"),
        ("gaps", "<f8"),  # pauses between visits: number, sum and sum of squares of their logarithms
        ("gap_sum", "<f8"),
        ("gap_squares", "<f8"),
        ("sizes", "<f8"),  # likewise of the bytes that each connection sent
        ("size_sum", "<f8"),
        ("size_squares", "<f8"),
        ("risk", "<f8"),
        ("risk_time", "<f8"),
    ]
)
_COUNTED = (
    "opened",
    "failed",
    "bytes_out",
    "bytes_in",
    "gaps",
    "gap_sum",
    "gap_squares",
    "sizes",
    "size_sum",
    "size_squares",
)


@dataclass(frozen=True)
class Dealings:
    """Services that some subjects have just used (rows of dtype `ROW`)."""

    rows: Array
    slots: I8

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def span(self) -> F8:
        """Seconds from the first connection to the last one."""
        return np.asarray(self.rows["last"] - self.rows["first"])

    @property
    def gap_spread(self) -> F8:
        """Standard deviation of the logarithm of the pauses: 0.2 is a jitter of a fifth, 1.3 pure chance."""
        return _spread(self.rows, "gap")

    @property
    def gap_middle(self) -> F8:
        """Geometric mean of the pauses in seconds."""
        return np.asarray(np.exp(self.rows["gap_sum"] / np.maximum(self.rows["gaps"], 1)))

    @property
    def size_middle(self) -> F8:
        """Geometric mean of what each connection sent, in bytes."""
        return np.asarray(np.expm1(self.rows["size_sum"] / np.maximum(self.rows["sizes"], 1)))

    @property
    def size_spread(self) -> F8:
        """Standard deviation of the logarithm of what each connection sent."""
        return _spread(self.rows, "size")

    def take(self, which: Array) -> Dealings:
        """Some of them."""
        return Dealings(self.rows[which], self.slots[which])


class Services:
    """The newest dealings of all subjects."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._table = KeyTable(MOST_SERVICES)
        self._rows = np.zeros(self._table.size, ROW)

    def update(self, subject: I8, rows: Array, novelty: Novelty, excused: Bool) -> Dealings:
        """Count events of `subject`s; returns the dealings that connections were opened in."""
        counts = _counts(rows) & (subject >= 0)
        if not counts.any():
            return Dealings(np.zeros(0, ROW), np.empty(0, np.int64))
        subject, rows, excused = subject[counts], rows[counts], excused[counts]
        unknown = np.where(rows["dst_segment"] == 0, novelty.outside[counts], novelty.peer[counts])
        keys, first, group = np.unique(self._keys(subject, rows), return_index=True, return_inverse=True)
        if not self._table.has_room(len(keys)):
            self._forget(len(keys))
        slots, new = self._table.insert(keys[: int(self._table.size * 0.5)])
        self._begin(slots[new], subject, rows, first[: len(slots)][new], unknown, novelty.service[counts])
        kept = group < len(slots)  # more at once than fits: a flood of services, which the windows see
        rows, group, excused = rows[kept], group[kept], excused[kept]
        self._count(slots, group, rows, excused)
        opened = np.unique(group[_opens(rows)])
        return Dealings(self._rows[slots[opened]], slots[opened])

    def sizes(self, subject: I8, rows: Array) -> None:
        """Learn what finished flows sent."""
        counts = _counts(rows) & (subject >= 0)
        slots = self._table.find(self._keys(subject[counts], rows[counts]))
        known = slots >= 0
        size = np.log1p(rows["src_bytes"][counts][known].astype(np.float64))
        for name, values in (("sizes", np.ones(len(size))), ("size_sum", size), ("size_squares", size**2)):
            np.add.at(self._rows[name], slots[known], values)

    def blame(self, slots: I8, risk: F8, now: float) -> None:
        """The flows of these dealings are worth so much risk."""
        self._rows["risk"][slots] = risk
        self._rows["risk_time"][slots] = now

    def risk(self, subject: I8, rows: Array) -> tuple[F8, F8]:
        """Risk of the dealings that flows belong to, 0 if none, and when it was found."""
        slots = self._table.find(self._keys(np.maximum(subject, 0), rows))
        there = (slots >= 0) & (subject >= 0)
        return np.where(there, self._rows["risk"][slots], 0.0), np.where(there, self._rows["risk_time"][slots], 0.0)

    def forget(self, subjects: I8) -> None:
        """These subjects have done nothing."""
        self._keep(np.flatnonzero((self._table.keys != 0) & ~np.isin(self._rows["subject"], subjects)))

    def _keys(self, subject: I8, rows: Array) -> U8:
        return mix(self._salt, subject, rows["dst_hi"], rows["dst_lo"], rows["proto"], rows["dst_port"])

    def _begin(self, slots: I8, subject: I8, rows: Array, at: I8, unknown: Bool, unheard: Bool) -> None:
        fresh = np.zeros(len(slots), ROW)
        fresh["subject"] = subject[at]
        for name in ("dst_hi", "dst_lo", "proto"):
            fresh[name] = rows[name][at]
        fresh["port"], fresh["outside"] = rows["dst_port"][at], rows["dst_segment"][at] == 0
        fresh["unknown"], fresh["unheard"] = unknown[at], unheard[at]
        fresh["first"] = fresh["last"] = rows["start"][at]
        self._rows[slots] = fresh

    def _count(self, slots: I8, group: I8, rows: Array, excused: Bool) -> None:
        opens = _opens(rows)
        order = np.lexsort((rows["start"][opens], group[opens]))
        of, start = group[opens][order], rows["start"][opens][order]
        leads = np.r_[True, np.diff(of) != 0] if len(of) else np.zeros(0, bool)
        known = self._rows[slots]
        before = np.where(leads, known["last"][of], np.r_[0.0, start[:-1]] if len(of) else start)
        gap = start - before
        visits = gap >= VISIT
        anew = np.unique(of[leads & (gap > PAUSE)])
        for name in _COUNTED:
            known[name][anew] = 0
        known["first"][anew] = np.inf
        np.minimum.at(known["first"], of, start)
        visits &= gap <= PAUSE
        logs = np.log(np.maximum(gap, VISIT))
        failed = (rows["state"] & FlowState.FAILED != 0) & ~excused
        count = len(slots)
        known["opened"] += np.bincount(group[opens & (rows["state"] & FlowState.NEW != 0)], minlength=count)
        known["failed"] += np.bincount(group[failed], minlength=count)
        known["bytes_out"] += np.bincount(group, weights=rows["src_bytes"].astype(np.float64), minlength=count)
        known["bytes_in"] += np.bincount(group, weights=rows["dst_bytes"].astype(np.float64), minlength=count)
        known["gaps"] += np.bincount(of[visits], minlength=count)
        known["gap_sum"] += np.bincount(of[visits], weights=logs[visits], minlength=count)
        known["gap_squares"] += np.bincount(of[visits], weights=logs[visits] ** 2, minlength=count)
        np.maximum.at(known["last"], of, start)
        self._rows[slots] = known

    def _forget(self, count: int) -> None:
        slots = np.flatnonzero(self._table.keys != 0)
        keep = max(0, min(MOST_SERVICES // 2, int(self._table.size * 0.5) - count))
        self._keep(slots[np.argsort(self._rows["last"][slots], kind="stable")[len(slots) - min(keep, len(slots)) :]])

    def _keep(self, slots: I8) -> None:
        rows = self._rows[slots]
        self._rows[self._table.rebuild(slots)] = rows


def _counts(rows: Array) -> Bool:
    """Events that say something about the initiator's dealings with a service."""
    ported = (rows["proto"] == TCP) | (rows["proto"] == UDP)
    sent = rows["state"] & (FlowState.SPOOFED | FlowState.ANSWERED_ONLY) == 0
    return np.asarray(ported & sent & (rows["dst_segment"] >= 0))


def _opens(rows: Array) -> Bool:
    return np.asarray(rows["state"] & (FlowState.NEW | FlowState.ASKED) != 0)


def _spread(rows: Array, what: str) -> F8:
    count = np.maximum(rows[f"{what}s"], 1)
    mean = rows[f"{what}_sum"] / count
    return np.asarray(np.sqrt(np.maximum(rows[f"{what}_squares"] / count - mean**2, 0)))
