"""The most unusual flow of each subject lately: what the learned model of flows has to say of the subject."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I8, Array

_SECONDS = 600.0


class OddFlows:
    """Of subjects numbered from 0."""

    SECONDS: ClassVar[float] = _SECONDS
    """What is older is forgotten."""

    def __init__(self, subjects: int) -> None:
        self._p = np.ones(subjects)
        self._time = np.full(subjects, -np.inf)

    def add(self, subject: I8, time: Array, p: F8) -> None:
        """Tail probabilities of finished flows, in order of time; negative subjects are nobody's."""
        _add(self._p, self._time, subject, np.ascontiguousarray(time), p, 0, len(subject))

    def p(self, subject: I8, now: F8, flows: F8) -> F8:
        """That a subject with so many flows had one so unusual by chance (Bonferroni)."""
        return _chance(self._p[subject], self._time[subject], now, flows)

    def in_steps(self, edges: I8, flows: tuple[I8, F8, F8], seen_edges: I8, seen: tuple[I8, F8, F8]) -> F8:
        """`add` and then `p`, step by step.

        Args:
            edges: (steps + 1,) where each step's flows begin.
            flows: subject, time and tail probability of finished flows.
            seen_edges: (steps + 1,) where each step's subjects begin.
            seen: subject, time and number of flows of those who are looked at.
        """
        subject, now, count = seen
        p, time = np.empty(len(subject)), np.empty(len(subject))
        _steps(self._p, self._time, edges, *flows, seen_edges, subject, p, time)
        return _chance(p, time, now, count)

    def forget(self, subjects: I8) -> None:
        """These subjects have done nothing."""
        self._p[subjects], self._time[subjects] = 1.0, -np.inf


def _chance(p: F8, time: F8, now: F8, flows: F8) -> F8:
    return np.asarray(np.where(time + _SECONDS >= now, np.minimum(p * np.maximum(flows, 1), 1.0), 1.0))


@compiled
def _add(oddest: F8, since: F8, subject: I8, time: F8, p: F8, begin: int, end: int) -> None:
    for i in range(begin, end):
        one = subject[i]
        if one >= 0 and (p[i] <= oddest[one] or time[i] > since[one] + _SECONDS):
            oddest[one], since[one] = p[i], time[i]


@compiled
def _steps(
    oddest: F8, since: F8, edges: I8, subject: I8, time: F8, p: F8, seen_edges: I8, seen: I8, found: F8, when: F8
) -> None:
    for k in range(len(edges) - 1):
        _add(oddest, since, subject, time, p, edges[k], edges[k + 1])
        for i in range(seen_edges[k], seen_edges[k + 1]):
            found[i], when[i] = oddest[seen[i]], since[seen[i]]
