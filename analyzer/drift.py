"""Does traffic still look as it did when the baseline was learned? Told by how often its calibrated tail is met.

Under the baseline one window in twenty has p <= 0.05, whatever its features are. Where that happens much more often the
VM has changed. One VM that changes is suspect; when most of a segment change together somebody has deployed something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8, I8, Array

LEVEL = 0.05
FACTOR = 4.0
"""Times as often as nominal: one window in five."""
ENOUGH = 60.0
"""Windows of a VM, in weight, below which nothing is said of it."""
HALF_LIFE = 1800.0
"""Seconds in which what was seen loses half its weight."""
TOGETHER = 0.5
"""Share of a segment's VMs that makes it a deployment; a single VM never is."""


@dataclass(frozen=True)
class SegmentDrift:
    """How a segment stands."""

    segment: int
    share: float
    """Of its windows with p <= LEVEL."""
    vms: tuple[int, ...]
    """Those that have changed."""
    of: int
    """VMs that were seen often enough."""

    @property
    def deployment(self) -> bool:
        """Did most of it change together?"""
        return len(self.vms) >= 2 and len(self.vms) >= TOGETHER * self.of


class Drift:
    """Counts tails for each VM. Time is that of the events."""

    def __init__(self, vms: int) -> None:
        self._weight = np.zeros(vms + 1)
        self._hits = np.zeros(vms + 1)
        self._since = np.zeros(vms + 1)
        self._segment = np.zeros(vms + 1, np.int16)

    def note(self, now: float, vm: I8, segment: Array, p: F8) -> None:
        """Windows of VMs (none twice) and their p."""
        fade = 0.5 ** (np.maximum(now - self._since[vm], 0) / HALF_LIFE)
        self._weight[vm] = self._weight[vm] * fade + 1
        self._hits[vm] = self._hits[vm] * fade + (p <= LEVEL)
        self._since[vm], self._segment[vm] = now, segment

    def report(self) -> list[SegmentDrift]:
        """Every segment of which enough was seen."""
        seen = np.flatnonzero(self._weight >= ENOUGH)
        share = self._hits[seen] / self._weight[seen]
        found = []
        for segment in np.unique(self._segment[seen]).tolist():
            own = self._segment[seen] == segment
            changed = seen[own][share[own] >= FACTOR * LEVEL]
            overall = float(self._hits[seen[own]].sum() / self._weight[seen[own]].sum())
            found.append(SegmentDrift(segment, overall, tuple(changed.tolist()), int(own.sum())))
        return found
