"""The most unusual flow of each subject lately: what the learned model of flows has to say of the subject."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analyzer.flows import F8, I8, Array


class OddFlows:
    """Of subjects numbered from 0."""

    SECONDS: ClassVar[float] = 600.0
    """What is older is forgotten."""

    def __init__(self, subjects: int) -> None:
        self._p = np.ones(subjects)
        self._time = np.full(subjects, -np.inf)

    def add(self, subject: I8, time: Array, p: F8) -> None:
        """Tail probabilities of finished flows; negative subjects are nobody's."""
        known = subject >= 0
        subject, time, p = subject[known], time[known], p[known]
        order = np.argsort(-p, kind="stable")  # of equal subjects the last one is written
        subject, time, p = subject[order], time[order], p[order]
        odder = (p <= self._p[subject]) | (time > self._time[subject] + self.SECONDS)
        self._p[subject[odder]], self._time[subject[odder]] = p[odder], time[odder]

    def p(self, subject: I8, now: float, flows: F8) -> F8:
        """That a subject with so many flows had one so unusual by chance (Bonferroni)."""
        recent = self._time[subject] + self.SECONDS >= now
        return np.asarray(np.where(recent, np.minimum(self._p[subject] * np.maximum(flows, 1), 1.0), 1.0))

    def forget(self, subjects: I8) -> None:
        """These subjects have done nothing."""
        self._p[subjects], self._time[subjects] = 1.0, -np.inf
