"""Rings of sub-buckets with running totals, by subject and length of window: what `analyzer.windows` is made of.

What has become too old is taken away when a subject is looked at again, so time costs nothing for those who are silent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I4, I8, Bool
from analyzer.observe import FEATURES, SUMS

LENGTHS = (1.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds of the windows."""
BUCKETS = 10
"""Sub-buckets of a window: its true length is between 0.9 and 1 of the nominal one."""
TICKS = 10
"""A second has so many ticks; each bucket is a whole number of them."""
PER_BUCKET = tuple(round(length * TICKS / BUCKETS) for length in LENGTHS)
NEVER = -(1 << 60)
"""A tick, bucket or step before all others."""


ROOM = 16
"""Columns of distinct items in a bucket: with these it fills one line of the processor's cache."""


class Rings(NamedTuple):
    """Arrays of compiled loops, by subject. Whole numbers in float64, so that taking away is exact."""

    buckets: F8
    """(subjects, lengths, BUCKETS, sums)"""
    distinct: I4
    """(subjects, lengths, BUCKETS, ROOM) items that were last seen in each."""
    used: Bool
    """(subjects, lengths, BUCKETS) may anything stand there?"""
    newest: I8
    """(subjects, lengths) number of the newest bucket."""
    total: F8
    """(subjects, lengths, features)"""
    fresh: F8
    """(subjects, sums) what the step that goes on has added so far."""
    entered: I8
    """(subjects,) the last step that each had part in."""
    noted: I8
    """(subjects,) the last step in which each was worth a look."""


def rings(subjects: int) -> Rings:
    """Of so many subjects, numbered from 0, who have done nothing."""
    shape = (subjects, len(LENGTHS))
    return Rings(
        np.zeros((*shape, BUCKETS, len(SUMS))),
        np.zeros((*shape, BUCKETS, ROOM), np.int32),
        np.zeros((*shape, BUCKETS), bool),
        np.full(shape, NEVER),
        np.zeros((*shape, len(FEATURES))),
        np.zeros((subjects, len(SUMS))),
        np.full(subjects, NEVER),
        np.full(subjects, NEVER),
    )


def ticks(times: F8) -> I8:
    """Number of the tick that each time (seconds) is in."""
    return np.floor(times * TICKS).astype(np.int64)


@compiled
def expire(rings: Rings, subject: int, tick: int) -> None:
    """Take away what has left the windows of a subject."""
    for i in range(len(PER_BUCKET)):
        bucket, newest = tick // PER_BUCKET[i], rings.newest[subject, i]
        if bucket == newest:
            break  # so it is for the longer ones: their buckets end with a shorter one's
        for passed in range(max(newest + 1, bucket - BUCKETS + 1), bucket + 1):
            place = passed % BUCKETS
            if rings.used[subject, i, place]:
                _empty(rings, subject, i, place)
        rings.newest[subject, i] = bucket


@compiled
def _empty(rings: Rings, subject: int, i: int, place: int) -> None:
    """Take away what a bucket holds. Numbers one by one: to name a part of an array costs more in compiled loops."""
    sums = rings.fresh.shape[1]
    for j in range(sums):
        rings.total[subject, i, j] -= rings.buckets[subject, i, place, j]
        rings.buckets[subject, i, place, j] = 0.0
    for j in range(rings.total.shape[2] - sums):
        rings.total[subject, i, sums + j] -= rings.distinct[subject, i, place, j]
        rings.distinct[subject, i, place, j] = 0
    rings.used[subject, i, place] = False


@compiled
def age(rings: Rings, subjects: I8, tick: int) -> None:
    """`expire` of several."""
    for subject in subjects:
        expire(rings, subject, tick)


@compiled
def enter(rings: Rings, subject: int, step: int, tick: int) -> bool:
    """A subject has part in a step; False when that was known."""
    if rings.entered[subject] == step:
        return False
    rings.entered[subject] = step
    expire(rings, subject, tick)
    for j in range(rings.fresh.shape[1]):
        rings.fresh[subject, j] = 0.0
    return True


@compiled
def settle(rings: Rings, subject: int, tick: int) -> None:
    """What a step has added becomes part of the windows."""
    for i in range(len(PER_BUCKET)):
        place = (tick // PER_BUCKET[i]) % BUCKETS
        rings.used[subject, i, place] = True
        for j in range(rings.fresh.shape[1]):
            rings.buckets[subject, i, place, j] += rings.fresh[subject, j]
            rings.total[subject, i, j] += rings.fresh[subject, j]


@compiled
def add_one(rings: Rings, subjects: I8, tick: int, column: int, values: F8) -> None:
    """Add to one feature of subjects."""
    for k in range(len(subjects)):
        subject = subjects[k]
        expire(rings, subject, tick)
        for i in range(len(PER_BUCKET)):
            place = (tick // PER_BUCKET[i]) % BUCKETS
            rings.used[subject, i, place] = True
            rings.buckets[subject, i, place, column] += values[k]
            rings.total[subject, i, column] += values[k]


@compiled
def see(rings: Rings, subject: int, column: int, last: int) -> None:
    """A distinct item is seen: it counts in the newest buckets, no more in those of `last`, when it was seen last.

    Its subject has entered the step: its newest buckets are those of now, and `settle` will note them as used.
    """
    for i in range(len(PER_BUCKET)):
        bucket = rings.newest[subject, i]
        if last >= bucket * PER_BUCKET[i]:
            break  # it is in the same one, and so it is for the longer ones
        if last < (bucket - BUCKETS + 1) * PER_BUCKET[i]:
            rings.total[subject, i, rings.fresh.shape[1] + column] += 1.0
        else:
            rings.distinct[subject, i, last // PER_BUCKET[i] % BUCKETS, column] -= 1
        rings.distinct[subject, i, bucket % BUCKETS, column] += 1


@compiled
def unsee(rings: Rings, subject: int, column: int, last: int) -> None:
    """An item that was last seen at a tick has not been."""
    for i in range(len(PER_BUCKET)):
        before = last // PER_BUCKET[i]
        if before > rings.newest[subject, i] - BUCKETS:
            rings.distinct[subject, i, before % BUCKETS, column] -= 1
            rings.total[subject, i, rings.fresh.shape[1] + column] -= 1.0
