"""Sliding windows of several lengths over what each subject did: rings of sub-buckets, driven by event time.

Sums are kept as a ring of buckets and a running total; distinct items by the time each was last seen, so that an item
leaves a window when its last bucket does. All steps take whole columns; memory is bounded by the number of subjects
and by `MOST_ITEMS`.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from analyzer.flows import F8, I8, U8, Array, Bool
from analyzer.keytable import KeyTable, mix
from analyzer.observe import DISTINCT, FEATURES, SUMS, Contribution

LENGTHS = (1.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds."""
BUCKETS = 10
"""Sub-buckets of a window: its true length is between 0.9 and 1 of the nominal one."""
MOST_ITEMS = 1 << 17
"""Distinct items remembered for one feature; beyond, the longest unseen are forgotten."""
_NEVER = -1e15
_LENGTH_AT = {length: i for i, length in enumerate(LENGTHS)}
_FEATURE_AT = {name: i for i, name in enumerate(FEATURES)}


class Windows:
    """Windows of `subjects` subjects, numbered from 0."""

    def __init__(self, subjects: int, salt: int) -> None:
        self._sums = [_SumRing(length, subjects) for length in LENGTHS]
        self._distinct = {name: _DistinctRing(subjects, salt) for name in DISTINCT}
        self.now = _NEVER

    def add(self, now: float, subject: I8, what: Contribution) -> None:
        """Count events of `subject` at `now`; a `now` in the past counts as the newest time seen."""
        self.advance(now)
        if not len(subject):
            return
        order = np.argsort(subject, kind="stable")
        ordered = subject[order]
        starts = np.flatnonzero(np.r_[True, np.diff(ordered) != 0])
        sums = np.add.reduceat(what.sums[order], starts, axis=0)
        for ring in self._sums:
            ring.add(ordered[starts], sums)
        for name, (counts, keys) in what.distinct.items():
            if counts.any():
                self._distinct[name].add(subject[counts], keys[counts])

    def add_sums(self, now: float, subject: I8, name: str, values: F8) -> None:
        """Add to one sum, e.g. of entry counters. `subject` must hold no number twice."""
        self.advance(now)
        sums = np.zeros((len(subject), len(SUMS)))
        sums[:, SUMS.index(name)] = values
        for ring in self._sums:
            ring.add(subject, sums)

    def advance(self, now: float) -> None:
        """Let time pass."""
        if now <= self.now:
            return
        self.now = now
        for ring in self._sums:
            ring.advance(now)
        for distinct in self._distinct.values():
            distinct.advance(now)

    def values(self, subject: I8) -> F8:
        """(lengths, subjects, features) of the given subjects, features as in `FEATURES`."""
        result = np.empty((len(LENGTHS), len(subject), len(FEATURES)))
        for i, ring in enumerate(self._sums):
            result[i, :, : len(SUMS)] = ring.total[subject]
        for j, name in enumerate(DISTINCT, len(SUMS)):
            result[:, :, j] = self._distinct[name].counts[:, subject]
        return result

    def forget(self, subjects: I8) -> None:
        """Whatever these subjects did has not been."""
        for ring in self._sums:
            ring.forget(subjects)
        for distinct in self._distinct.values():
            distinct.forget(subjects)


class _SumRing:
    """Running totals over one length. Whole numbers in float64, so that taking away is exact."""

    def __init__(self, length: float, subjects: int) -> None:
        self._width = length / BUCKETS
        self._ring = np.zeros((BUCKETS, subjects, len(SUMS)))
        self._used = np.zeros(BUCKETS, bool)
        self._bucket: int | None = None
        self.total = np.zeros((subjects, len(SUMS)))

    def advance(self, now: float) -> None:
        bucket = int(now // self._width)
        last = bucket if self._bucket is None else self._bucket
        for passed in range(max(last + 1, bucket - BUCKETS + 1), bucket + 1):
            place = passed % BUCKETS
            if self._used[place]:
                self.total -= self._ring[place]
                self._ring[place] = 0
                self._used[place] = False
        self._bucket = bucket

    def add(self, subject: I8, sums: F8) -> None:
        """`subject` holds no number twice."""
        place = (self._bucket or 0) % BUCKETS
        self._ring[place, subject] += sums
        self.total[subject] += sums
        self._used[place] = True

    def forget(self, subjects: I8) -> None:
        self._ring[:, subjects] = 0
        self.total[subjects] = 0


class _DistinctRing:
    """How many different items each subject touched, over all lengths at once."""

    def __init__(self, subjects: int, salt: int) -> None:
        self._salt = salt
        self._widths = [length / BUCKETS for length in LENGTHS]
        self._table = KeyTable(MOST_ITEMS)
        self._last = np.full(self._table.size, _NEVER)
        self._subject = np.zeros(self._table.size, np.int32)
        self._touched: list[deque[tuple[int, I8]]] = [deque() for _ in LENGTHS]
        self._now = _NEVER
        self.counts = np.zeros((len(LENGTHS), subjects), np.int64)

    def add(self, subject: I8, items: U8) -> None:
        keys, first = np.unique(mix(self._salt, subject, items), return_index=True)
        for part in range(0, len(keys), MOST_ITEMS // 4):
            self._add(keys[part : part + MOST_ITEMS // 4], subject[first[part : part + MOST_ITEMS // 4]])

    def _add(self, keys: U8, subject: I8) -> None:
        if not self._table.has_room(len(keys)):
            self._compact()
        slots, _ = self._table.insert(keys)
        last = self._last[slots]
        for i, width in enumerate(self._widths):
            bucket = int(self._now // width)
            absent = last // width <= bucket - BUCKETS
            np.add.at(self.counts[i], subject[absent], 1)
            moved = slots[last // width != bucket]
            if len(moved):
                self._note(i, bucket, moved)
        self._last[slots] = self._now
        self._subject[slots] = subject

    def _note(self, length: int, bucket: int, slots: I8) -> None:
        touched = self._touched[length]
        if touched and touched[-1][0] == bucket:
            slots = np.concatenate([touched.pop()[1], slots])
        touched.append((bucket, slots))

    def advance(self, now: float) -> None:
        self._now = now
        for i, width in enumerate(self._widths):
            oldest = int(now // width) - BUCKETS
            touched = self._touched[i]
            while touched and touched[0][0] <= oldest:
                bucket, slots = touched.popleft()
                gone = slots[self._last[slots] // width == bucket]
                np.subtract.at(self.counts[i], self._subject[gone], 1)

    def forget(self, subjects: I8) -> None:
        self._keep(np.flatnonzero((self._table.keys != 0) & ~np.isin(self._subject, subjects)))

    def _compact(self) -> None:
        """Drop what has left the longest window; if that is not half of all, the longest unseen too."""
        slots = np.flatnonzero(self._table.keys != 0)
        slots = slots[self._alive(slots, len(LENGTHS) - 1)]
        self._keep(slots[np.argsort(self._last[slots], kind="stable")[-(MOST_ITEMS // 2) :]])

    def _keep(self, slots: I8) -> None:
        last, subject = self._last[slots], self._subject[slots]
        moved = self._table.rebuild(slots)
        self._last[:] = _NEVER
        self._last[moved], self._subject[moved] = last, subject
        self.counts[:] = 0
        for i, width in enumerate(self._widths):
            alive = moved[self._alive(moved, i)]
            np.add.at(self.counts[i], self._subject[alive], 1)
            buckets = (self._last[alive] // width).astype(np.int64)
            order = np.argsort(buckets, kind="stable")
            parts = np.split(alive[order], np.flatnonzero(np.diff(buckets[order])) + 1) if len(alive) else []
            self._touched[i] = deque((int(self._last[part[0]] // width), part) for part in parts)

    def _alive(self, slots: I8, length: int) -> Bool:
        width = self._widths[length]
        return np.asarray(self._last[slots] // width > self._now // width - BUCKETS)


def feature(values: F8, name: str, seconds: float) -> F8:
    """Column of one feature over one length, from `Windows.values`."""
    return np.asarray(values[_LENGTH_AT[seconds], :, _FEATURE_AT[name]])


def usual_over(span: float) -> Array:
    """Factor by which what was usual in a training of `span` seconds is to be stretched for each length."""
    return np.maximum(1.0, np.asarray(LENGTHS) / max(span, 1.0))
