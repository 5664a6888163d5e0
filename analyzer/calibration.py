"""Do tails mean what they say, and what follows: p of flows and windows as they are met lately, segment by segment.

Only models that learned something have to mean it. Only what VMs did counts, only once a second for windows, and for an
hour nothing of a VM in which a behaviour was found, nor of a flow with it at the other end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.allowance import LEVELS, MOST, Allowance
from analyzer.baseline import Baseline, over_lengths
from analyzer.compiled import compiled
from analyzer.flows import F8, I8, Array, Bool
from analyzer.sampling import due
from analyzer.windows import LENGTHS

SAMPLE_SECONDS = 1.0
"""Of a VM a window counts once in so many seconds: those in between overlap."""
SPARED_SECONDS = 3600.0
"""Nothing of a VM counts for so long after a behaviour was found in it."""


@dataclass(frozen=True)
class Realised:
    """How often a nominal tail was met lately."""

    segment: int
    kind: str
    """`flows`, `windows 60s`; `windows, corrected`: what is left of all lengths when each has been corrected."""
    nominal: float
    share: float


class Calibration:
    """Of one baseline, while it judges. Time is that of the events."""

    def __init__(self, baseline: Baseline, vms: int, segments: int) -> None:
        """`vms`, `segments`: the highest number."""
        numbers = range(segments + 1)
        self._learned_flows = np.array([len(baseline.flow_model(s).weights) > 0 for s in numbers])
        self._learned_windows = np.array([any(m.weights for m in baseline.window_models(s).values()) for s in numbers])
        self._flows, self._windows = Allowance(segments, 1), Allowance(segments, len(LENGTHS))
        self._together = Allowance(segments, 1)
        """Of what is left when lengths are right by themselves and are taken together."""
        self._sampled = np.full(vms + 1, -np.inf)
        self._suspected = np.full(vms + 1, -np.inf)
        self._segments = segments

    def flows(self, segment: Array, p: F8) -> F8:
        """(n,) p of flows as they should be."""
        known = np.where(segment >= 0, segment, 0)
        return np.asarray(self._flows.adjust(known, p[None])[0])

    def windows(self, segment: Array, tails: F8) -> F8:
        """(lengths, n) p of windows as they should be: such that `over_lengths` of them is."""
        apart = self._windows.adjust(segment, tails)
        together = over_lengths(apart)
        missing = self._together.adjust(segment, together[None])[0] / together
        return np.asarray(np.minimum(apart * missing, MOST * tails))

    def note_flows(self, rows: Array, p: F8) -> None:
        """Finished flows (dtype FLOW), and what the baseline thought of them."""
        counts = np.empty(len(rows), bool)
        _counting(rows, self._suspected, self._learned_flows, counts)
        self._flows.note(rows["src_segment"], p[None], counts)

    def note_windows(self, now: Array | float, vm: I8, segment: Array, tails: F8, suspect: Bool) -> None:
        """Windows that were judged, unadjusted (0: no VM), and whether a behaviour was found in them."""
        now = np.broadcast_to(np.asarray(now, np.float64), len(vm))
        np.maximum.at(self._suspected, vm[suspect], now[suspect])
        counts = self.due(now, vm) & (now > self._suspected[vm] + SPARED_SECONDS)
        which = np.flatnonzero(counts & self._learned_windows[segment])
        if len(which):
            segment, tails, every = segment[which], tails[:, which], np.ones(len(which), bool)
            self._together.note(segment, over_lengths(self._windows.adjust(segment, tails))[None], every)
            self._windows.note(segment, tails, every)

    def due(self, now: Array, vm: I8) -> Bool:
        """Which VMs' windows, in order of time, count now."""
        counts = np.zeros(len(vm), bool)
        inside = np.flatnonzero(vm > 0)
        counts[inside[due(np.ascontiguousarray(now[inside]), vm[inside], self._sampled, SAMPLE_SECONDS)]] = True
        return counts

    def report(self) -> list[Realised]:
        """What was met of each tail that anything was seen of."""
        lengths = [f"windows {length:g}s" for length in LENGTHS]
        kinds = [(self._flows, ["flows"]), (self._windows, lengths), (self._together, ["windows, corrected"])]
        return [
            Realised(segment, name, nominal, share)
            for segment in range(self._segments + 1)
            for allowance, names in kinds
            for name, shares in zip(names, allowance.share(segment).tolist(), strict=True)
            for nominal, share in zip(LEVELS.tolist(), shares, strict=True)
            if not np.isnan(share)
        ]


@compiled
def _counting(rows: Array, suspected: F8, learned: Bool, counts: Bool) -> None:
    """Which flows count: a VM's, unless one end is suspect; what others do with a suspect it may have made them do."""
    for i in range(len(rows)):
        row = rows[i]
        counts[i] = row.src_vm > 0 and row.src_segment >= 0 and learned[row.src_segment]
        for vm in (row.src_vm, row.dst_vm):
            if counts[i] and vm > 0:
                counts[i] = row.end > suspected[vm] + SPARED_SECONDS
