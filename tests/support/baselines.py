"""Small learners and baselines for tests."""

import numpy as np

from analyzer.baseline import Baseline, Learner
from analyzer.features import FLOW_FEATURES
from analyzer.known import Known
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS

SHAPE = (len(LENGTHS), 1, len(FEATURES))


def learned(seconds: int = 60, vms: int = 3, seed: int = 2, busy: float = 2.0) -> Learner:
    """A learner that has seen `vms` VMs of segments 1 and 2 for so long, each with its own level of activity."""
    rng = np.random.default_rng(seed)
    learner = Learner()
    for second in range(seconds):
        for vm in range(1, vms + 1):
            values = rng.poisson(busy * vm, SHAPE).astype(float)
            one, time = np.array([vm]), np.array([1000.0 + second])
            learner.add_windows(time, one, one, 1 + one % 2, values)
            learner.add_flows(np.array([1 + vm % 2]), rng.normal(size=(1, len(FLOW_FEATURES))).astype(np.float32))
    return learner


def fitted(learner: Learner, vms: int = 3, inventory: str = "net") -> Baseline:
    """Its baseline."""
    return learner.fit(Known(1).save(), vms, 7, inventory)
