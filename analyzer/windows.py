"""Sliding windows of several lengths over what each subject did, driven by event time.

Events are counted step by step, many steps in one call. Sums count in the sub-bucket they came in; a distinct item in
the one it was last seen in, so that it leaves a window when that does. Memory is bounded by the number of subjects and
by `MOST_ITEMS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I8, NOBODY, U8, Array, Bool
from analyzer.items import Items, items, note
from analyzer.observe import DISTINCT, FEATURES, SUMS, Contribution
from analyzer.rings import LENGTHS, Rings, add_one, age, enter, rings, settle, ticks

__all__ = ["LENGTHS", "Seen", "Windows", "feature", "usual_over"]

_SPREAD = len(LENGTHS) * len(FEATURES)
_HITS = (SUMS.index("hit_flows"), SUMS.index("hit_answered"), DISTINCT.index("hit_sources"))
"""An argument of compiled loops: what they take from other files is not looked at again when it has changed."""
LINE = 8
"""Numbers in a line of the cache."""
_LENGTH_AT = {length: i for i, length in enumerate(LENGTHS)}
_FEATURE_AT = {name: i for i, name in enumerate(FEATURES)}


@dataclass(frozen=True)
class Seen:
    """Windows of those who are worth a look in steps, as they stood at the end of each."""

    values: F8
    """(lengths, n, features)"""
    subject: I8
    """(n,); in one step each only once."""
    edges: I8
    """(steps + 1,) where each step's begin."""
    times: F8
    """(steps,) when each is thought to be: the newest time seen by then."""

    def __len__(self) -> int:
        return len(self.subject)


class Windows:
    """Windows of `subjects` subjects, numbered from 0."""

    def __init__(self, subjects: int, salt: int) -> None:
        self._rings, self._items = rings(subjects), items(subjects, salt)
        self._steps = 0
        self.now = -1e15

    def add(self, edges: I8, times: F8, what: Contribution, watched: Bool) -> Seen:
        """Count events.

        Args:
            edges: (steps + 1,) where each step's events begin, the first at 0.
            times: (steps,) when they count; one in the past counts as the newest time seen.
            what: the events add.
            watched: (subjects,) whose windows may be worth a look.
        """
        times = np.maximum.accumulate(np.maximum(times, self.now))
        self.now = float(times[-1])
        columns = (what.subject, what.deed, what.sums, what.items, what.victim, what.answered, what.source)
        count = _worth(edges, what.subject, what.deed, what.victim, watched)
        # Columns of a power of two would share lines of the cache.
        values = np.empty((_SPREAD, -(-count // (2 * LINE)) * 2 * LINE + LINE))
        subject, begins = np.empty(count, np.int64), np.zeros(len(edges), np.int64)
        _count(self._rings, self._items, self._steps, edges, ticks(times), columns, _HITS, watched, values,
               subject, begins)  # fmt: skip
        self._steps += len(times)
        shaped = values.reshape(len(LENGTHS), len(FEATURES), -1)[:, :, :count]
        return Seen(shaped.transpose(0, 2, 1), subject, begins, times)

    def add_sums(self, now: float, subject: I8, name: str, values: F8) -> None:
        """Add to one sum, e.g. of entry counters."""
        self.advance(now)
        add_one(self._rings, subject, self._tick, SUMS.index(name), values)

    def advance(self, now: float) -> None:
        """Let time pass."""
        self.now = max(self.now, now)

    def values(self, subject: I8) -> F8:
        """(lengths, subjects, features) of the given subjects, features as in `FEATURES`."""
        age(self._rings, subject, self._tick)
        return np.asarray(self._rings.total[subject].transpose(1, 0, 2))

    def forget(self, subjects: I8) -> None:
        """Whatever these subjects did has not been."""
        self._rings.buckets[subjects] = 0
        self._rings.distinct[subjects] = 0
        self._rings.used[subjects] = False
        self._rings.total[subjects] = 0
        self._items.lives[subjects] += 1

    @property
    def _tick(self) -> int:
        return int(ticks(np.array(self.now)))


def feature(values: F8, name: str, seconds: float) -> F8:
    """Column of one feature over one length, from `Windows.values`."""
    return np.asarray(values[_LENGTH_AT[seconds], :, _FEATURE_AT[name]])


def usual_over(span: float) -> Array:
    """Factor by which what was usual in a training of `span` seconds is to be stretched for each length."""
    return np.maximum(1.0, np.asarray(LENGTHS) / max(span, 1.0))


@compiled
def _worth(edges: I8, initiator: I8, deed: Bool, victim: I8, watched: Bool) -> int:
    """How many windows are worth a look, of all steps."""
    noted, count = np.full(len(watched), -1), 0
    for k in range(len(edges) - 1):
        for i in range(edges[k], edges[k + 1]):
            for one in (initiator[i] if deed[i] else NOBODY, victim[i]):
                if one != NOBODY and watched[one] and noted[one] != k:
                    noted[one] = k
                    count += 1
    return count


@compiled
def _count(
    rings: Rings,
    items: Items,
    steps: int,
    edges: I8,
    at: I8,
    what: tuple[I8, Bool, F8, U8, I8, Bool, U8],
    hits: tuple[int, int, int],
    watched: Bool,
    values: F8,
    subjects: I8,
    begins: I8,
) -> None:
    """See `Windows.add`; `values` are (lengths * features, subjects)."""
    initiator, deed, sums, keys, victim, answered, source = what
    entered = np.empty(len(rings.entered), np.int64)
    found = 0
    for k in range(len(at)):
        begin, end, step, tick = edges[k], edges[k + 1], steps + k, at[k]
        count = _do(rings, initiator, deed, sums, begin, end, step, tick, entered)
        count = _suffer(rings, victim, answered, hits, begin, end, step, tick, entered, count)
        for j in range(len(keys)):
            note(rings, items, j, initiator, keys[j], begin, end, tick)
        note(rings, items, hits[2], victim, source, begin, end, tick)
        found = _show(rings, np.sort(entered[:count]), watched, step, tick, values, subjects, found)
        begins[k + 1] = found


@compiled
def _do(
    rings: Rings, initiator: I8, deed: Bool, sums: F8, begin: int, end: int, step: int, tick: int, entered: I8
) -> int:
    """Events of their initiators; how many have `entered`, who are put there."""
    count = 0
    for i in range(begin, end):
        one = initiator[i]
        if one == NOBODY:
            continue
        if enter(rings, one, step, tick):
            entered[count] = one
            count += 1
        for j in range(sums.shape[1]):
            rings.fresh[one, j] += sums[i, j]
        if deed[i]:
            rings.noted[one] = step
    return count


@compiled
def _suffer(
    rings: Rings,
    victim: I8,
    answered: Bool,
    hits: tuple[int, int, int],
    begin: int,
    end: int,
    step: int,
    tick: int,
    entered: I8,
    count: int,
) -> int:
    """The same of those whom events are aimed at; they are put behind `count` others."""
    for i in range(begin, end):
        one = victim[i]
        if one == NOBODY:
            continue
        if enter(rings, one, step, tick):
            entered[count] = one
            count += 1
        rings.fresh[one, hits[0]] += 1.0
        rings.fresh[one, hits[1]] += answered[i]
        rings.noted[one] = step
    return count


@compiled
def _show(rings: Rings, entered: I8, watched: Bool, step: int, tick: int, values: F8, subjects: I8, found: int) -> int:
    """Windows of those who have entered and are worth a look, put behind `found` others; how many there are then."""
    begin = found
    for one in entered:
        settle(rings, one, tick)
        if rings.noted[one] == step and watched[one]:
            subjects[found] = one
            found += 1
    for first in range(begin, found, LINE):
        _copy(rings.total, subjects, values, first, min(first + LINE, found))
    return found


@compiled
def _copy(total: F8, subjects: I8, values: F8, begin: int, end: int) -> None:
    """Totals of subjects as columns: of several at a time, that lines of the cache are written whole."""
    _, lengths, features = total.shape
    for i in range(lengths):
        for j in range(features):
            for k in range(begin, end):
                values[i * features + j, k] = total[subjects[k], i, j]
