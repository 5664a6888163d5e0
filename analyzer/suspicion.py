"""What is thought of each subject for a while: the highest risk found, decaying, by the kind of flows it is about."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from analyzer.flows import F8, I8, Array
from analyzer.risk import decayed


class About(IntEnum):
    """Which flows a suspicion is about."""

    DEEDS = 0
    """Those of the subject that look like it: failed, to logins, or unusual by themselves."""
    NAMES = 1
    """Its questions to name servers."""
    TARGET = 2
    """Those that others aim at it."""


class Suspicion:
    """Of subjects numbered from 0."""

    def __init__(self, subjects: int) -> None:
        self._risk = np.zeros((len(About), subjects))
        self._time = np.zeros((len(About), subjects))

    def raise_to(self, about: About, subject: int, risk: float, now: float) -> None:
        """Something was found; less than what is thought already changes nothing."""
        if risk >= float(self.now(about, np.array([subject]), np.array([now]))[0]):
            self._risk[about, subject], self._time[about, subject] = risk, now

    def now(self, about: About, index: I8, time: Array) -> F8:
        """Risk 0..100 of subjects at times; 0 for negative ones."""
        risk = decayed(self._risk[about, index], time - self._time[about, index])
        return np.where(index >= 0, risk, 0.0)

    def forget(self, subjects: I8) -> None:
        """Nothing is thought of them."""
        self._risk[:, subjects] = 0.0
