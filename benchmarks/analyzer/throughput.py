"""Flows a second through everything: windows, behaviours, flow and window models, classifier, risk; two peers alone.

Batches of 20,000 flows as the live analyzer judges them (`Core.steps`, its steps). The peers get the
flow features that our flow model gets, ready made, and only score them: scikit-learn's IsolationForest, and KitNET as
PySAD has it in Python. All in turns, in one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
from threadpoolctl import threadpool_limits

from analyzer.core import Core
from analyzer.flows import F8, FlowBatch
from analyzer.live import MOST_SLICES, SLICE_ROWS
from analyzer.models.columns import COLUMNS
from analyzer.models.known import KnownAttacks
from analyzer.models.samples import Samples
from analyzer.models.training import fit
from benchmarks.analyzer.load import START, VMS, Load
from benchmarks.rows import Row

BATCH = 20_000
ROUNDS = 41
LEARNED = 20
"""Seconds that the baseline is learned from."""
A_SECOND = 100_000
"""Flows offered, while it is learned and afterwards: what is judged is the network's ordinary state."""
TICK = 0.25
KITNET_LEARNS, KITNET_ROWS = 1000, 500
WANTED = 300_000.0


def judging(load: Load) -> Core:
    """An analyzer with a baseline and a classifier of known attacks, which sees every flow."""
    core = Core(load.segment, 1)
    for second in range(LEARNED):
        learned = load.flows(A_SECOND, START + second, 1.0)
        for _ in core.steps(learned, learned.steps(TICK, A_SECOND // 4), whole=True):
            pass
    core.judge_by(core.stop_learning()(7, ""))
    core.attacks = classifier()
    return core


def classifier() -> KnownAttacks:
    """Of the size that real captures give: what it says does not matter here."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(20_000, len(COLUMNS))).astype(np.float32)
    kinds = np.array(["benign", "scan", "brute-force", "c2", "flood", "lateral"], object)
    kind = kinds[np.minimum(np.abs(rows[:, 0] + rows[:, 20] * rows[:, 3]) * 2, len(kinds) - 1).astype(int)]
    return fit([Samples("drawn", rows, kind, "")], 1)


def judge(core: Core, flows: FlowBatch) -> None:
    """A batch of whole flows, by themselves and as events, in steps as `Live` takes; the classifier sees every flow."""
    for _ in core.steps(flows, flows.steps(TICK, max(SLICE_ROWS, len(flows) // MOST_SLICES)), whole=True):
        pass
    assert core.attacks is not None
    core.attacks.flows(core.features_of(flows.rows), *core.windows_of(flows.rows))


def rows(say: Callable[[str], None]) -> list[Row]:
    """Measure."""
    load = Load()
    core = judging(load)
    say(f"baseline of {VMS} VMs learned")
    train = np.ascontiguousarray(core.features_of(load.flows(BATCH, START - 100, 1.0).rows), np.float64)
    forest, kitnet = _isolation_forest(train), _kitnet(train)
    seconds: dict[str, list[float]] = {"ours": [], "forest": [], "kitnet": []}
    now = START + LEARNED
    for _ in range(ROUNDS + 1):
        batch = load.flows(BATCH, now, BATCH / A_SECOND)
        now += BATCH / A_SECOND
        features = np.ascontiguousarray(core.features_of(batch.rows), np.float64)  # as the peers would lay it out
        seconds["ours"].append(_timed(partial(judge, core, batch)))
        seconds["forest"].append(_timed(partial(forest, features)))
        seconds["kitnet"].append(_timed(partial(kitnet, features[:KITNET_ROWS])))
    rate = {
        name: (KITNET_ROWS if name == "kitnet" else BATCH) / statistics.median(s[1:]) for name, s in seconds.items()
    }
    ours, how = rate["ours"], "windows are counted beside the rest, in a thread; median of the rounds"
    return [
        Row("throughput, everything, batches of 20,000", round(ours), "flows/s", ">=", WANTED, ROUNDS, reason=how),
        Row("the same against KitNET (Python, PySAD), scoring alone", round(ours / rate["kitnet"], 1), "x", ">=", 50.0,
            ROUNDS, "KitNET, flows/s", round(rate["kitnet"])),
        Row("the same against IsolationForest (100 trees, 2 jobs), scoring alone", round(ours / rate["forest"], 2), "x",
            ">=", 1.0, ROUNDS, "IsolationForest, flows/s", round(rate["forest"])),
    ]  # fmt: skip


def _timed(work: Callable[[], object]) -> float:
    with threadpool_limits(1):
        began = time.perf_counter()
        work()
        return time.perf_counter() - began


def _isolation_forest(train: F8) -> Callable[[F8], object]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=7, n_jobs=2).fit(train)
    return cast("Callable[[F8], object]", forest.score_samples)


def _kitnet(train: F8) -> Callable[[F8], object]:
    from pysad.models import KitNet

    net = KitNet(max_size_ae=10, grace_feature_mapping=KITNET_LEARNS, grace_anomaly_detector=KITNET_LEARNS)
    low, high = train.min(axis=0), np.maximum(np.ptp(train, axis=0), 1e-6)
    for row in (train[: 2 * KITNET_LEARNS + 1] - low) / high:
        net.fit_partial(row)
    return lambda features: [net.score_partial(row) for row in (features - low) / high]
