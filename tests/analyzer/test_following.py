"""Learning on: late, from what stayed clean, under the anchor's eyes; drift told apart from one VM's change."""

from dataclasses import replace

import numpy as np
import pytest
from support.baselines import SHAPE, fitted, learned

from analyzer.baseline import Baseline
from analyzer.drift import Drift
from analyzer.features import FLOW_FEATURES
from analyzer.flows import FlowBatch
from analyzer.following import Following

DELAY = 40.0
VMS = 3


@pytest.fixture(scope="module")
def base() -> Baseline:
    """Five minutes of three VMs, in segments 1 and 2."""
    return fitted(learned(300))


def pass_time(
    following: Following,
    base: Baseline,
    seconds: int,
    busy: float = 2.0,
    suspect: int = 0,
    raised: int = 0,
    begin: int = 0,
) -> None:
    """Windows of the VMs, a second each; `suspect` is found in a behaviour, `raised` is twenty times as busy."""
    rng = np.random.default_rng(5)
    for second in range(begin, begin + seconds):
        vm = np.arange(1, VMS + 1)
        values = np.concatenate(
            [rng.poisson(busy * v * (20 if v == raised else 1), SHAPE).astype(float) for v in vm.tolist()], axis=1
        )
        p = base.window_p(1 + vm % 2, values)
        following.windows(2000.0 + second, vm, 1 + vm % 2, values, p, vm == suspect)
        rows = FlowBatch.empty(VMS).rows
        rows["src_vm"], rows["src_segment"], rows["end"] = vm, 1 + vm % 2, 2000.0 + second
        following.flows(rows, rng.normal(size=(VMS, len(FLOW_FEATURES))).astype(np.float32))
        following.peers(2000.0 + second, rows)


def test_nothing_is_learned_before_the_delay_is_over(base: Baseline) -> None:
    """What came less than the delay ago is held back; afterwards it counts."""
    following = Following(base, base, VMS, DELAY)
    pass_time(following, base, int(DELAY))
    assert following.samples == 0
    pass_time(following, base, 60, begin=int(DELAY))
    assert 100 <= following.samples <= 3 * (DELAY + 60 - DELAY)


def test_of_whoever_fell_under_suspicion_nothing_is_learned(base: Baseline) -> None:
    """One finding, and what the VM did within the delay before is left out; the others' stays."""
    following = Following(base, base, VMS, DELAY)
    pass_time(following, base, 30)
    pass_time(following, base, 1, suspect=2, begin=30)
    pass_time(following, base, 44, begin=31)
    clean = Following(base, base, VMS, DELAY)
    pass_time(clean, base, 75)
    assert following.left_out > 0
    assert following.samples == pytest.approx(clean.samples * 2 / 3, rel=0.05)


def test_a_successor_judges_like_its_forerunner(base: Baseline) -> None:
    """Learned on from more of the same, ordinary windows stay ordinary and wild ones stay wild; peers are kept."""
    following = Following(base, base, VMS, DELAY)
    pass_time(following, base, 200)
    made = following.successor()(7, "net")
    assert made.deployed == ()
    usual = np.random.default_rng(9).poisson(4.0, SHAPE).astype(float)
    assert made.baseline.window_p(np.array([1]), usual)[0] > 0.01
    assert made.baseline.window_p(np.array([1]), np.full(SHAPE, 800.0))[0] < 1e-3
    assert len(made.baseline.known.peers) >= len(base.known.peers)
    assert following.samples == 0


def test_one_vm_cannot_move_what_is_normal_slowly(base: Baseline) -> None:
    """Over many generations a VM that does a little more each time is still found, as soon as by the first baseline.

    The anchor judges beside each generation, so the level at which a window has p <= 0.005 does not rise, and what is
    usual no more than doubles, however long this goes on.
    """

    def level(model: Baseline) -> float:
        """Activity of VM 1's segment from which on the baseline agrees that it is abnormal."""
        steps = np.geomspace(4, 400, 60)
        p = [float(model.window_p(np.array([2]), np.full(SHAPE, step))[0]) for step in steps]
        return float(steps[int(np.argmax(np.array(p) <= 5e-3))])

    current, poison = base, 1.0
    for generation in range(3):
        following = Following(base, current, VMS, DELAY)
        poison *= 2
        rng = np.random.default_rng(generation)
        for second in range(120):
            vm = np.arange(1, VMS + 1)
            lift = np.where(vm == 1, poison, 1.0)
            values = np.concatenate([rng.poisson(2 * v * k, SHAPE) for v, k in zip(vm, lift, strict=True)], axis=1)
            p = current.window_p(1 + vm % 2, values.astype(float))
            following.windows(5000.0 + second, vm, 1 + vm % 2, values.astype(float), p, np.zeros(VMS, bool))
        following.drift = list  # type: ignore[method-assign]
        current = replace(following.successor()(7, "net").baseline, anchor=base)
    assert level(current) <= level(base)
    now, once = current.usual(np.array([1]), np.array([2])), base.usual(np.array([1]), np.array([2]))
    assert all((after <= 2 * before).all() for after, before in zip(now, once, strict=True))


def test_drift_of_one_is_no_deployment_and_of_most_is() -> None:
    """Calibrated p: all is stable; one VM of three meets its tail all the time; then two of three do."""
    vm, segment = np.arange(1, 4), np.ones(3, np.int16)
    rng = np.random.default_rng(3)
    for changed, expected in (((), False), ((2,), False), ((1, 2), True)):
        drift = Drift(3)
        for second in range(400):
            p = rng.random(3)
            p[[v - 1 for v in changed]] *= 0.1
            drift.note(100.0 + second, vm, segment, p)
        (found,) = drift.report()
        assert found.vms == changed
        assert found.deployment is expected


def test_too_little_says_nothing_of_drift() -> None:
    """A minute of one VM is no ground to say that it has changed."""
    drift = Drift(2)
    for second in range(20):
        drift.note(100.0 + second, np.array([1]), np.array([1]), np.array([1e-6]))
    assert drift.report() == []
