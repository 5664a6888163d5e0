"""By how much the exporters' clocks differ from this machine's, so that all flows are told in one time.

A datagram cannot come before it was sent: of (time of arrival - time of sending) the least within a while is the
difference of the clocks, and the way, which is short.
"""

from __future__ import annotations

import logging

import numpy as np

from analyzer.flows import F8, Array

WINDOW_SECONDS = 60.0
"""What was least in this and the last span of so long counts."""
TOLERATED = 0.05
"""Seconds: differences below it are the way of a datagram, not a clock's, and are left alone."""
TOLD = 1.0
"""Seconds: differences from here on are said in the log."""

log = logging.getLogger("dynseg.analyzer.skew")


class Clocks:
    """What is known of each VFN's clock."""

    def __init__(self) -> None:
        self._least: dict[int, tuple[float, float]] = {}
        """Least difference of this span and of the last one."""
        self._since: dict[int, float] = {}
        self._applied: dict[int, float] = {}

    @property
    def offsets(self) -> dict[int, float]:
        """Seconds to add to each VFN's times, where they are any."""
        return {vfn: offset for vfn, offset in self._applied.items() if offset}

    def correction(self, vfns: Array, sent: F8, received: F8) -> F8:
        """Learn from datagrams (VFN number, epoch seconds of sending, of arrival); seconds to add to their times."""
        unique, of = np.unique(vfns, return_inverse=True)
        least = np.full(len(unique), np.inf)
        np.minimum.at(least, of, received - sent)
        newest = float(received.max()) if len(received) else 0.0
        offsets = [self._offset(vfn, value, newest) for vfn, value in zip(unique.tolist(), least.tolist(), strict=True)]
        return np.array(offsets, float)[of]

    def _offset(self, vfn: int, least: float, now: float) -> float:
        this, last = self._least.get(vfn, (np.inf, np.inf))
        if now >= self._since.setdefault(vfn, now) + WINDOW_SECONDS:
            this, last, self._since[vfn] = np.inf, this, now
        this = min(this, least)
        self._least[vfn] = this, last
        found, applied = min(this, last), self._applied.get(vfn, 0.0)
        if abs(found) < TOLERATED:
            found = 0.0
        if abs(found - applied) >= TOLERATED or (found == 0.0) != (applied == 0.0):
            if max(abs(found), abs(applied)) >= TOLD:
                log.warning("VFN number %d: its clock differs by %.3f s, and is corrected for", vfn, -found)
            self._applied[vfn] = found
        return self._applied.get(vfn, 0.0)
