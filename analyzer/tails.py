"""From a score to the share of normal traffic that scores as high: an empirical distribution with a fitted tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8

BODY = 0.9
"""Up to this quantile, or further where there are scores enough, the held-out scores speak for themselves."""
EXCEEDANCES = 25
"""The tail is fitted to so many of the highest scores, where these are less than a tenth: in what is normal there are
kinds that are rare, and one line through all of them fits none."""
CENSORED = 0.5
"""Of the upper half of these only counts that they are above it, ..."""
MOST_CENSORED = 0.005
"""... of at most so many, though, as a share of all: a few attacks among what was learned, or one freak, would else
make the tail heavier for good."""
PRIOR_ALPHA = 4.0
PRIOR_WEIGHT = 6.0
"""Before it is fitted the tail's index is thought to be PRIOR_ALPHA, as if by so many exceedances."""
POINTS = 257
_FIRST_STEP = 256
"""Of the search among them: the largest power of two in POINTS."""
_FARTHEST = 1e12


@dataclass(frozen=True)
class Tail:
    """P(score of normal traffic >= s).

    Above `start` the scores' logarithms are exponential with an unknown rate. What is known of the rate is a gamma
    distribution, and p is what follows for the next score: the less was seen, the heavier the tail.
    """

    body: F8
    """Sorted quantiles of the held-out scores up to `start`."""
    start: float
    """The score where the tail begins."""
    share: float
    """Of scores above it."""
    shape: float
    rate: float
    """Of the gamma distribution; shape / rate is the tail's index (Hill, 1975)."""

    @classmethod
    def fit(cls, scores: F8, independent: float = np.inf) -> Tail:
        """From held-out scores, >= 0; few of them: the prior.

        Args:
            scores: in any order.
            independent: as how many they count, where they are not independent of each other.
        """
        scores = scores[np.isfinite(scores)]
        if len(scores) < 8:
            return cls.prior()
        counted = min(independent, len(scores))
        share = min(1 - BODY, EXCEEDANCES / counted)
        start = max(float(np.quantile(scores, 1 - share)), 1e-9)
        censored = max(float(np.quantile(scores, 1 - min(share * CENSORED, MOST_CENSORED))), start)
        over = scores[scores > start]
        weight = counted / len(scores)
        return cls(
            np.quantile(scores, np.linspace(0, 1 - share, POINTS)),
            start,
            share,
            PRIOR_WEIGHT + weight * float((over <= censored).sum()),
            PRIOR_WEIGHT / PRIOR_ALPHA + weight * float(np.log(np.minimum(over, censored) / start).sum()),
        )

    @classmethod
    def prior(cls) -> Tail:
        """When nothing is known: nine tenths below 1, then the prior's tail."""
        return cls(np.linspace(0, 1, POINTS), 1.0, 1 - BODY, PRIOR_WEIGHT, PRIOR_WEIGHT / PRIOR_ALPHA)

    def p(self, scores: F8) -> F8:
        """Tail probability of each score, in (0, 1]. Not a number counts as no evidence (1)."""
        p = np.empty(len(scores))
        _tail(self.body, self.start, self.share, self.shape, self.rate, np.ascontiguousarray(scores, np.float64), p)
        return p

    def score(self, p: float) -> float:
        """The score that a share `p` of normal traffic reaches."""
        if p >= self.share:
            return float(self.body[min(int((1 - p) / (1 - self.share) * len(self.body)), len(self.body) - 1)])
        return self.start * float(np.exp(self.rate * ((p / self.share) ** (-1 / self.shape) - 1)))


@compiled
def _tail(body: F8, start: float, share: float, shape: float, rate: float, scores: F8, p: F8) -> None:
    """Not a number is above nothing; what is infinite is as far as can be told."""
    for i in range(len(scores)):
        score = min(scores[i], _FARTHEST)
        if score > start:
            p[i] = share * (1 + np.log(score / start) / rate) ** -shape
            continue
        below, step = 0, _FIRST_STEP  # how many of the body are: a search without branches
        while step > 0:
            place = below + step
            if place <= len(body) and body[place - 1] < score:
                below = place
            step //= 2
        p[i] = max(1 - below / len(body) * (1 - share), share)
