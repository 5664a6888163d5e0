"""Which of what comes in order of time is taken as a sample: of each subject one in so many seconds."""

from __future__ import annotations

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I8


@compiled
def due(now: F8, subject: I8, sampled: F8, seconds: float) -> I8:
    """Positions of the samples; `sampled`, when each subject was last one, is changed."""
    found = np.empty(len(now), np.int64)
    count = 0
    for i in range(len(now)):
        if now[i] - sampled[subject[i]] >= seconds:
            sampled[subject[i]] = now[i]
            found[count] = i
            count += 1
    return found[:count]
