"""Who can be judged: every VM, and outside addresses once they have opened a few connections.

The windows need dense numbers. VM n has index n (0 stays empty); tracked outside addresses follow. A flood under
forged sources must not fill the table, so an outside address is tracked from its `TRACK_AFTER`th connection on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analyzer.compiled import Row, compiled
from analyzer.flows import F8, I8, NOBODY, U8, Array, FlowState
from analyzer.keytable import FULLEST, mixed, place_of, slots_for

OUTSIDERS = 4096
"""Outside addresses tracked at a time."""
TRACK_AFTER = 2
_CANDIDATES = 1 << 16
_SIZE = slots_for(_CANDIDATES)
_NEW = int(FlowState.NEW)
_NONE, _ONE = np.uint64(0), np.uint64(1)


class Table(NamedTuple):
    """Arrays of compiled loops: candidates by slot, tracked addresses by place."""

    keys: U8
    """0: free."""
    opened: I8
    """Connections."""
    subject: I8
    """Its index; NOBODY: not tracked (yet)."""
    used: I8
    """(1,) taken slots."""
    salt: U8
    """(1,)"""
    seen: F8
    """By place: when last."""
    address: U8
    """(places, 2) halves."""
    free: I8
    """Free places, a stack."""
    free_count: I8
    """(1,) how high it is."""


class Subjects:
    """Indices of the initiators of flows."""

    def __init__(self, vms: int, salt: int) -> None:
        """`vms` is the highest VM number."""
        self._vms = vms
        self._table = Table(
            np.zeros(_SIZE, np.uint64),
            np.zeros(_SIZE, np.int64),
            np.full(_SIZE, NOBODY, np.int64),
            np.zeros(1, np.int64),
            np.full(1, salt, np.uint64),
            np.full(OUTSIDERS, -np.inf),
            np.zeros((OUTSIDERS, 2), np.uint64),
            np.arange(OUTSIDERS)[::-1].copy(),
            np.full(1, OUTSIDERS),
        )
        self.size = vms + 1 + OUTSIDERS

    def is_vm(self, index: int) -> bool:
        """Else it is an outside address."""
        return index <= self._vms

    def address(self, index: int) -> tuple[int, int]:
        """Both halves of a tracked outside address."""
        high, low = self._table.address[index - self._vms - 1].tolist()
        return high, low

    def lookup(self, rows: Array) -> I8:
        """Index of each row's initiator as things stand, NOBODY when it is not judged (yet)."""
        index = np.empty(len(rows), np.int64)
        _lookup(self._table, rows, index)
        return index

    def index(self, edges: I8, rows: Array) -> tuple[I8, int, I8]:
        """Count events, step by step, until places are short.

        Args:
            edges: (steps + 1,) where each step's events begin.
            rows: the events (dtype FLOW).

        Returns:
            Index of the initiator of each event of the steps that were done, how many were, and indices that are to be
            forgotten before the next: they stand for nobody now. The next step is done by another call.
        """
        index = np.empty(len(rows), np.int64)
        if not (rows["src_vm"] == 0).any():  # so it is inside most networks
            _lookup(self._table, rows, index)
            return index, len(edges) - 1, np.empty(0, np.int64)
        done, short = _index(self._table, self._vms, edges, rows, index)
        return index, done, self._recycle() if short else np.empty(0, np.int64)

    def _recycle(self) -> I8:
        """Free the half of the places that was longest unseen."""
        table = self._table
        places = np.argsort(table.seen, kind="stable")[: OUTSIDERS // 2]
        gone = places + self._vms + 1
        lost = np.isin(table.subject, gone) & (table.keys != 0)
        table.subject[lost], table.opened[lost] = NOBODY, 0
        free = np.union1d(table.free[: table.free_count[0]], places)
        table.free[: len(free)], table.free_count[0] = free, len(free)
        table.seen[places] = -np.inf
        return gone


@compiled
def _key(table: Table, row: Row) -> np.uint64:
    return max(mixed(mixed(table.salt[0], row.src_hi), row.src_lo), _ONE)


@compiled
def _lookup(table: Table, rows: Array, index: I8) -> None:
    for i in range(len(rows)):
        row = rows[i]
        index[i] = row.src_vm if row.src_vm > 0 else NOBODY
        if row.src_vm == 0:
            slot = place_of(table.keys, _key(table, row))
            if table.keys[slot] != _NONE:
                index[i] = table.subject[slot]


@compiled
def _index(table: Table, vms: int, edges: I8, rows: Array, index: I8) -> tuple[int, bool]:
    """See `Subjects.index`: how many steps were done, and whether a newcomer found no place in the last of them."""
    for k in range(len(edges) - 1):
        begin, end, short = edges[k], edges[k + 1], False
        if table.used[0] + min(end - begin, _CANDIDATES // 2) > _CANDIDATES:
            _forget_candidates(table)
        for i in range(begin, end):
            row = rows[i]
            if row.src_vm == 0 and row.dst_segment > 0:
                _count(table, row)
        for i in range(begin, end):
            row = rows[i]
            index[i] = row.src_vm if row.src_vm > 0 else NOBODY
            if row.src_vm == 0 and row.dst_segment > 0:
                slot = place_of(table.keys, _key(table, row))
                if table.keys[slot] != _NONE and table.opened[slot] >= TRACK_AFTER:
                    index[i] = _track(table, slot, row, vms)
                    short |= index[i] == NOBODY
        if short:
            return k + 1, True
    return len(edges) - 1, False


@compiled
def _count(table: Table, row: Row) -> None:
    key = _key(table, row)
    slot = place_of(table.keys, key)
    if table.keys[slot] == _NONE:
        if table.used[0] >= FULLEST * len(table.keys):
            return  # more newcomers in one burst than fit: they come again
        table.keys[slot] = key
        table.opened[slot], table.subject[slot] = 0, NOBODY
        table.used[0] += 1
    table.opened[slot] += row.state & _NEW


@compiled
def _track(table: Table, slot: int, row: Row, vms: int) -> int:
    """Index of an address that is tracked from now on; NOBODY while there is no place for it."""
    if table.subject[slot] == NOBODY and table.free_count[0] > 0:
        table.free_count[0] -= 1
        place = table.free[table.free_count[0]]
        table.subject[slot] = vms + 1 + place
        table.address[place, 0], table.address[place, 1] = row.src_hi, row.src_lo
    if table.subject[slot] != NOBODY:
        table.seen[table.subject[slot] - vms - 1] = row.end
    return table.subject[slot]  # type: ignore[no-any-return]


@compiled
def _forget_candidates(table: Table) -> None:
    """Keep the tracked ones only."""
    kept = np.flatnonzero((table.keys != _NONE) & (table.subject != NOBODY))
    keys, opened, index = table.keys[kept], table.opened[kept], table.subject[kept]
    table.keys[:] = _NONE
    table.used[0] = len(kept)
    for i in range(len(kept)):
        slot = place_of(table.keys, keys[i])
        table.keys[slot], table.opened[slot], table.subject[slot] = keys[i], opened[i], index[i]
