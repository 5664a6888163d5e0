"""From a score to the share of normal traffic that scores as high: an empirical distribution with a fitted tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8

BODY = 0.9
"""Below this quantile the held-out scores speak for themselves; above, the tail is extrapolated."""
PRIOR_ALPHA = 4.0
PRIOR_WEIGHT = 6.0
"""The tail's index is shrunk towards PRIOR_ALPHA as by so many exceedances: small held-out parts say little."""
STEEPEST = 6.0
CENSORED = 0.995
"""Of scores above this quantile only counts that they are above: a few attacks among what was learned, or one freak,
would else make the tail heavier for good."""


@dataclass(frozen=True)
class Tail:
    """P(score of normal traffic >= s)."""

    body: F8
    """Sorted quantiles of the held-out scores up to `BODY`."""
    start: float
    """The score at quantile `BODY`."""
    alpha: float
    """Tail index: p falls with s to the power of -alpha."""

    @classmethod
    def fit(cls, scores: F8) -> Tail:
        """From held-out scores, >= 0; few of them: the prior.

        The tail's index is Hill's estimator (1975) for samples censored above, with a gamma prior.
        """
        scores = scores[np.isfinite(scores)]
        if len(scores) < 8:
            return cls.prior()
        start = max(float(np.quantile(scores, BODY)), 1e-9)
        censored = max(float(np.quantile(scores, CENSORED)), start)
        over = scores[scores > start]
        exceeded = float(np.log(np.minimum(over, censored) / start).sum())
        alpha = ((over <= censored).sum() + PRIOR_WEIGHT) / (exceeded + PRIOR_WEIGHT / PRIOR_ALPHA)
        body = np.quantile(scores, np.linspace(0, BODY, 65))
        return cls(body, start, min(float(alpha), STEEPEST))

    @classmethod
    def prior(cls) -> Tail:
        """When nothing is known: nine tenths below 1, then the prior's tail."""
        return cls(np.linspace(0, 1, 65), 1.0, PRIOR_ALPHA)

    def p(self, scores: F8) -> F8:
        """Tail probability of each score, in (0, 1]. Not a number counts as no evidence (1)."""
        scores = np.nan_to_num(scores, nan=0.0, posinf=1e12)
        below = np.searchsorted(self.body, scores, side="left") / len(self.body) * BODY
        beyond = (1 - BODY) * np.maximum(scores / self.start, 1.0) ** -self.alpha
        return np.asarray(np.where(scores > self.start, beyond, np.maximum(1 - below, 1 - BODY)))

    def score(self, p: float) -> float:
        """The score that a share `p` of normal traffic, at most 1 - BODY, reaches."""
        return self.start * float((p / (1 - BODY)) ** (-1 / self.alpha))
