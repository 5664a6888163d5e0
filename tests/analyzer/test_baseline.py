"""The learner and its baseline, saved and loaded."""

import numpy as np
import pytest
from support.baselines import SHAPE, fitted, learned

from analyzer.baseline import POOLED, Baseline, Reservoir
from analyzer.features import FLOW_FEATURES
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS

RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def base() -> Baseline:
    """Of a minute of three VMs."""
    return fitted(learned())


def test_usual_values_are_of_the_vm_and_of_its_segment(base: Baseline) -> None:
    """A busy VM has a higher usual than a quiet one of the same segment; an unknown one has the segment's."""
    own, group = base.usual(np.array([1, 3, 0]), np.array([2, 2, 2]))
    assert (own[1, 0] < own[1, 1]).all()
    assert np.array_equal(own[:, 2], group[:, 2])
    assert np.array_equal(group[:, 0], group[:, 1])


def test_usual_is_stretched_over_longer_windows_than_were_learned(base: Baseline) -> None:
    """From 40 seconds of learning the usual of an hour is 90 times as high."""
    own, _ = base.usual(np.array([1]), np.array([2]))
    assert own[4] == pytest.approx(base.vm_usual[1][4][None] * 3600 / base.span)
    assert own[1] == pytest.approx(base.vm_usual[1][1][None])


@pytest.mark.parametrize(("seconds", "vms"), [(0, 1), (1, 1), (20, 1), (60, 1)])
def test_any_amount_of_training_gives_a_baseline(seconds: int, vms: int) -> None:
    """Nothing, one sample, some, a minute of one VM: every question has an answer in its range."""
    base = fitted(learned(seconds, vms), vms)
    windows = base.window_p(np.array([0, 1, 99]), np.zeros((len(LENGTHS), 3, len(FEATURES))))
    flows = base.flow_p(np.array([0, 1, 99]), np.zeros((3, len(FLOW_FEATURES))))
    assert ((windows > 0) & (windows <= 1)).all()
    assert ((flows > 0) & (flows <= 1)).all()
    assert {0, POOLED} <= set(base.windows)


def test_extreme_windows_are_unusual(base: Baseline) -> None:
    """Hundredfold activity is far out in the tail, the usual one is not."""
    usual, wild = np.full(SHAPE, 4.0), np.full(SHAPE, 800.0)
    assert base.window_p(np.array([2]), usual)[0] > 0.05
    assert base.window_p(np.array([2]), wild)[0] < 1e-3


def test_reservoir_is_bounded_and_even() -> None:
    """However much comes in however large pieces, at most twice the wanted number is kept, evenly over time."""
    reservoir = Reservoir(100)
    for start in range(0, 100_000, 500):
        reservoir.add(np.arange(start, start + 500))
    rows = reservoir.rows()
    assert rows is not None
    assert 100 <= len(rows) <= 200
    assert len(set(np.diff(rows).tolist())) == 1
