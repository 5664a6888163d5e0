"""What is not judged when more comes than can be: a sample of flows is, the same flows again and again.

Flows are recorded and archived all the same. Nothing is scaled up: of a sample the sums are too low, never too high, so
that nobody is accused by an estimate.
"""

from __future__ import annotations

import numpy as np

from analyzer.flows import U8, Array, Bool, FlowState
from analyzer.keytable import mix

PAIR_SECONDS = 600.0
"""A pair of VMs that was silent for so long, to twice as long, is new again."""
_PLACES = 1 << 20
_FIRST = FlowState.NEW | FlowState.ASKED
_MOST_HASH = float(2**64)


class Shedder:
    """Chooses events when there are too many.

    First come the first packets of pairs of VMs that have not been seen lately. What room is left is shared evenly
    among the ports where flows came in, so that one VM's flood, or one from outside, takes no other VM's place; of a
    port that has more than its share those flows stay whose hash is lowest.
    """

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._seen = np.zeros((2, _PLACES), bool)
        """Hashes of pairs, of this period and the one before."""
        self._until = 0.0
        self.shed = 0
        """Events that were not judged."""

    def choose(self, rows: Array, most: int) -> Bool:
        """Which of the events (dtype `FLOW`) to judge: all, or about `most`."""
        if not len(rows):
            return np.zeros(0, bool)
        self._turn(float(rows["end"].max()))
        pairs = mix(self._salt, rows["src_vm"].astype(np.uint64), rows["dst_vm"].astype(np.uint64)) % _PLACES
        among_vms = (rows["src_vm"] > 0) & (rows["dst_vm"] > 0)
        if len(rows) <= most:
            chosen = np.ones(len(rows), bool)
        else:
            new = among_vms & (rows["state"] & _FIRST != 0) & ~self._seen[:, pairs].any(axis=0)
            new &= _first_of(pairs, new)
            chosen = self._shared(rows, new, most)
            chosen |= self._shared(rows, ~new, most - int(chosen.sum()))
        self._seen[0, pairs[chosen & among_vms]] = True
        self.shed += int((~chosen).sum())
        return chosen

    def _turn(self, now: float) -> None:
        if now >= self._until:
            self._seen = np.stack([np.zeros(_PLACES, bool), self._seen[0]])
            self._until = now + PAIR_SECONDS

    def _shared(self, rows: Array, wanted: Bool, most: int) -> Bool:
        """About `most` of the wanted ones, evenly from all ports."""
        if wanted.sum() <= most:
            return wanted
        place = rows["vfn"].astype(np.int64) << 32 | (rows["port"].astype(np.int64) & 0xFFFFFFFF)
        _, port, counts = np.unique(place[wanted], return_inverse=True, return_counts=True)
        share = np.minimum(1.0, level(counts, most) / counts)
        chosen = np.zeros(len(rows), bool)
        chosen[wanted] = _hashes(rows[wanted], self._salt) / _MOST_HASH < share[port]
        return chosen


def level(counts: Array, most: int) -> float:
    """How many each may have at most, so that all together have `most` (counts: int, positive, together more)."""
    rising = np.sort(counts)
    others = len(rising) - np.arange(len(rising))  # who have no less than this one
    filled = np.concatenate([[0], np.cumsum(rising)[:-1]])
    levels = (max(0, most) - filled) / others
    return float(levels[np.argmax(levels <= rising)])


def _hashes(rows: Array, salt: int) -> U8:
    """One for each flow, the same in all its events."""
    names = ("src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "proto")
    return mix(salt, *(rows[name].astype(np.uint64) for name in names))


def _first_of(values: Array, wanted: Bool) -> Bool:
    """Where each of the wanted values stands for the first time."""
    at = np.flatnonzero(wanted)
    first = np.zeros(len(values), bool)
    first[at[np.unique(values[at], return_index=True)[1]]] = True
    return first
