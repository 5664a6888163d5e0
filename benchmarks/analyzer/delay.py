"""How long a flow waits for its verdict when 100,000 flows a second come in for a minute.

Flows arrive by their clock in batches of 20 ms; what has come is judged at once, as the live loop does: the longer it
takes, the larger the next batch. A flow's delay is from its arrival to the end of the batch in which it was judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from analyzer.flows import FlowBatch
from benchmarks.analyzer.load import START, Load
from benchmarks.analyzer.throughput import A_SECOND, LEARNED, judge, judging
from benchmarks.rows import Row

SECONDS = 60.0
EVERY = 0.02
MOST_MS = 250.0


def rows(say: Callable[[str], None]) -> list[Row]:
    """Measure. Flows that were not judged when the minute was over count with the delay they had by then."""
    load = Load()
    core = judging(load)
    made = [load.flows(round(A_SECOND * EVERY), START + LEARNED + i * EVERY, EVERY) for i in range(50)]
    judge(core, made[0])  # compiled loops are ready
    say("judging for a minute")
    delays, counts = [], []
    taken, began = 0, time.perf_counter()
    while taken < SECONDS / EVERY and (now := time.perf_counter() - began) < 2 * SECONDS:
        there = min(int(now / EVERY), int(SECONDS / EVERY))
        if there == taken:
            time.sleep(EVERY - now % EVERY)  # nothing has come yet: flows come by the clock
            continue
        batch = FlowBatch.concat([_at(made[i % len(made)], i // len(made)) for i in range(taken, there)])
        judge(core, batch)
        done = time.perf_counter() - began
        delays += [done - (i + 0.5) * EVERY for i in range(taken, there)]
        counts += [round(A_SECOND * EVERY)] * (there - taken)
        taken = there
    waiting = int(SECONDS / EVERY) - taken
    delays += [time.perf_counter() - began - (taken + 0.5) * EVERY] * waiting
    p99 = 1000 * float(np.quantile(delays, 0.99))
    judged = sum(counts)
    reason = None if not waiting else f"{judged / 2 / SECONDS:,.0f} flows/s were judged: what is over that waits"
    return [
        Row("verdict delay at 100,000 flows/s for 60 s, p99", round(p99, 1), "ms", "<=", MOST_MS, judged, reason=reason)
    ]


def _at(batch: FlowBatch, lap: int) -> FlowBatch:
    """The same flows at their turn."""
    rows = batch.rows.copy()
    shift = lap * 50 * EVERY
    rows["start"] += shift
    rows["end"] += shift
    return FlowBatch(rows)
