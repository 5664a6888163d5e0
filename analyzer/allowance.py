"""How much more often than they should tails are met lately: what p has to be multiplied by to be what it says.

Traffic moves away from what was learned: an afternoon is not a morning. As in adaptive conformal inference (Gibbs and
Candes, 2021) what is really met of a tail corrects the tail, for each segment and model, by what came in before. Nobody
can hide in it: of a VM in which a behaviour was found nothing counts, and p is allowed to grow as much as a doubling of
the score would make it shrink in the steepest tail, and no more.
"""

from __future__ import annotations

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, Array, Bool

LEVELS = np.array([0.05, 0.01, 0.001])
"""Tails that are looked at; between them it is interpolated, beyond the last its factor holds."""
MEMORY = 2000.0
"""Samples that count at a time: two are expected in the outermost level."""
PRIOR_HITS = 1.0
"""Hits of each level, as many as were expected, that are thought to have been there: the first one proves nothing."""
LEAST, MOST = 0.5, 2.0**6
"""Limits of the factor."""
_KNOTS = np.concatenate([[0.0], -np.log(LEVELS)])
"""Depths of the levels: negative logarithms."""
_LEAST_P = 1e-300


class Allowance:
    """Of `models` models of each segment, numbered from 0."""

    def __init__(self, segments: int, models: int) -> None:
        """`segments`: the highest segment number."""
        self._seen = np.zeros((segments + 1, models))
        self._hits = np.zeros((segments + 1, models, len(LEVELS)))
        self._values = np.zeros((segments + 1, models, len(_KNOTS)))
        """What depths at the knots become: (segments, models, knots)."""
        self._changes = np.zeros((segments + 1, models), bool)

    def factors(self, segment: int) -> F8:
        """(models, levels) that p of the levels are multiplied by."""
        return _factors(self._seen[segment], self._hits[segment])

    def share(self, segment: int) -> F8:
        """(models, levels) of samples that met the levels lately; NaN where there were none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self._hits[segment] / self._seen[segment][:, None])

    def adjust(self, segment: Array, p: F8) -> F8:
        """(models, n) of p as they should be; NaN, a model that was not asked, stays NaN."""
        result = np.array(p)
        if self._changes.any():
            _adjust(np.ascontiguousarray(segment), self._changes, self._values, result)
        return result

    def note(self, segment: Array, p: F8, counts: Bool) -> None:
        """What was met, unadjusted: (models, n); only those that `counts` says."""
        asked, met = np.zeros_like(self._seen), np.zeros_like(self._hits)
        _count(np.ascontiguousarray(segment), np.ascontiguousarray(p), counts, LEVELS, asked, met)
        left = (1 - 1 / MEMORY) ** asked
        fresh = (1 - left) * MEMORY / np.maximum(asked, 1)  # weight of each: those of a batch weigh the same
        self._seen = self._seen * left + fresh * asked
        self._hits = self._hits * left[..., None] + fresh[..., None] * met
        self._correct()

    def _correct(self) -> None:
        """Find what depths of p become. Monotone: a level's p is never below that of a level further out."""
        factors = _factors(self._seen, self._hits)
        levels = np.maximum.accumulate((factors * LEVELS)[..., ::-1], axis=-1)[..., ::-1]
        self._changes = (self._seen > 0) & (factors != 1).any(axis=-1)
        self._values[..., 1:] = -np.log(np.minimum(levels, 1.0))


def _factors(seen: F8, hits: F8) -> F8:
    return np.asarray(np.clip((hits + PRIOR_HITS) / (seen[..., None] * LEVELS + PRIOR_HITS), LEAST, MOST))


@compiled
def _adjust(segment: Array, changes: Bool, values: F8, p: F8) -> None:
    """Between knots it is interpolated; who is beyond the last stays as far beyond."""
    for model in range(len(p)):
        for i in range(len(segment)):
            one = p[model, i]
            if np.isnan(one) or not changes[segment[i], model]:
                continue
            value, depth, k = values[segment[i], model], -np.log(max(one, _LEAST_P)), 0
            while k < len(_KNOTS) - 2 and depth > _KNOTS[k + 1]:
                k += 1
            part = min((depth - _KNOTS[k]) / (_KNOTS[k + 1] - _KNOTS[k]), 1.0)
            beyond = max(depth - _KNOTS[-1], 0.0)
            p[model, i] = np.exp(-(value[k] + part * (value[k + 1] - value[k])) - beyond)


@compiled
def _count(segment: Array, p: F8, counts: Bool, levels: F8, asked: F8, met: F8) -> None:
    for model in range(len(p)):
        for i in range(len(segment)):
            if counts[i] and not np.isnan(p[model, i]):
                asked[segment[i], model] += 1
                for level in range(len(levels)):
                    met[segment[i], model, level] += p[model, i] <= levels[level]
