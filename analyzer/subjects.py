"""Who can be judged: every VM, and outside addresses once they have opened a few connections.

The windows need dense numbers. VM n has index n (0 stays empty); tracked outside addresses follow. A flood under
forged sources must not fill the table, so an outside address is tracked from its `TRACK_AFTER`th connection on.
"""

from __future__ import annotations

import numpy as np

from analyzer.flows import I8, NOBODY, Array, FlowState
from analyzer.keytable import KeyTable, mix

OUTSIDERS = 4096
"""Outside addresses tracked at a time."""
TRACK_AFTER = 2
_CANDIDATES = 1 << 16


class Subjects:
    """Indices of the initiators of flows."""

    def __init__(self, vms: int, salt: int) -> None:
        """`vms` is the highest VM number."""
        self._vms = vms
        self._salt = salt
        self._table = KeyTable(_CANDIDATES)
        self._opened = np.zeros(self._table.size, np.int64)
        self._index = np.full(self._table.size, NOBODY, np.int64)
        self._seen = np.full(OUTSIDERS, -np.inf)
        self._addresses = np.zeros((OUTSIDERS, 2), np.uint64)
        self._free = list(range(OUTSIDERS - 1, -1, -1))
        self.size = vms + 1 + OUTSIDERS

    def is_vm(self, index: int) -> bool:
        """Else it is an outside address."""
        return index <= self._vms

    def address(self, index: int) -> tuple[int, int]:
        """Both halves of a tracked outside address."""
        high, low = self._addresses[index - self._vms - 1].tolist()
        return high, low

    def lookup(self, rows: Array) -> I8:
        """Index of each row's initiator as things stand, NOBODY when it is not judged (yet)."""
        result = np.where(rows["src_vm"] > 0, rows["src_vm"], NOBODY).astype(np.int64)
        outside = np.flatnonzero(rows["src_vm"] == 0)
        slots = self._table.find(mix(self._salt, rows["src_hi"][outside], rows["src_lo"][outside]))
        result[outside] = np.where(slots >= 0, self._index[slots], NOBODY)
        return result

    def index(self, rows: Array) -> tuple[I8, I8]:
        """Count events. Index of each one's initiator, and indices that from now on stand for somebody else."""
        result = np.where(rows["src_vm"] > 0, rows["src_vm"], NOBODY).astype(np.int64)
        inward = np.flatnonzero((rows["src_vm"] == 0) & (rows["dst_segment"] > 0))
        if not len(inward):
            return result, np.empty(0, np.int64)
        rows = rows[inward]
        keys = mix(self._salt, rows["src_hi"], rows["src_lo"])
        unique, first, group = np.unique(keys, return_index=True, return_inverse=True)
        if not self._table.has_room(len(unique)):
            self._forget_candidates()
        slots, new = self._table.insert(unique[: int(self._table.size * 0.5)])
        self._opened[slots[new]], self._index[slots[new]] = 0, NOBODY
        opened = np.bincount(group, weights=(rows["state"] & FlowState.NEW) != 0, minlength=len(unique))[: len(slots)]
        self._opened[slots] += opened.astype(np.int64)
        due = (self._index[slots] == NOBODY) & (self._opened[slots] >= TRACK_AFTER)
        recycled = self._track(slots[due], rows[first[: len(slots)][due]])
        index = np.full(len(unique), NOBODY, np.int64)
        index[: len(slots)] = self._index[slots]
        result[inward] = index[group]
        known = index[group] != NOBODY
        self._seen[index[group][known] - self._vms - 1] = rows["end"][known]
        return result, recycled

    def _track(self, slots: I8, rows: Array) -> I8:
        recycled = self._recycle() if len(slots) > len(self._free) else np.empty(0, np.int64)
        for slot, row in zip(slots.tolist(), rows, strict=True):
            if not self._free:
                break  # more newcomers in one burst than places: they come again
            place = self._free.pop()
            self._index[slot] = self._vms + 1 + place
            self._addresses[place] = row["src_hi"], row["src_lo"]
            self._seen[place] = row["end"]
        return recycled

    def _recycle(self) -> I8:
        """Free the half of the places that was longest unseen."""
        places = np.argsort(self._seen, kind="stable")[: OUTSIDERS // 2]
        gone = places + self._vms + 1
        lost = np.isin(self._index, gone)
        self._index[lost], self._opened[lost] = NOBODY, 0
        self._free = [*self._free, *(p for p in places.tolist() if p not in set(self._free))]
        self._seen[places] = -np.inf
        return gone

    def _forget_candidates(self) -> None:
        """Keep the tracked ones only."""
        kept = np.flatnonzero((self._table.keys != 0) & (self._index != NOBODY))
        opened, index = self._opened[kept], self._index[kept]
        moved = self._table.rebuild(kept)
        self._opened[:], self._index[:] = 0, NOBODY
        self._opened[moved], self._index[moved] = opened, index
