"""Tails and densities: calibrated, and calm about poor training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.density import SMALLEST_TRAINING, Density, _divided
from analyzer.tails import Tail

RNG = np.random.default_rng(5)


@given(st.lists(st.floats(0, 1e6), max_size=50), st.lists(st.floats(0, 1e9), min_size=2, max_size=20))
def test_tail_probabilities_are_probabilities(training: list[float], scores: list[float]) -> None:
    """For any training, p lies in (0, 1] and never rises with the score."""
    p = Tail.fit(np.array(training)).p(np.sort(np.array(scores)))
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) <= 1e-12).all()


def test_tail_is_calibrated_within_and_beyond_the_training() -> None:
    """On heavy-tailed scores, p of 10 %, 1 % and 0.1 % is exceeded about as often as it says (factor 3)."""
    tail = Tail.fit(RNG.pareto(4, 2000) + 1)
    p = tail.p(RNG.pareto(4, 200_000) + 1)
    for level in (0.1, 0.01, 0.001):
        assert level / 3 <= (p <= level).mean() <= level * 3


def test_a_score_that_is_no_number_is_no_evidence() -> None:
    """NaN says nothing; infinity says as much as can be said."""
    p = Tail.prior().p(np.array([np.nan, np.inf, 0.0]))
    assert p[0] == p[2] == 1.0
    assert 0 < p[1] < 1e-6


def normal(count: int) -> np.ndarray:
    """Rows with structure: two groups, the second half of the columns a function of the first."""
    group = RNG.integers(0, 2, count)[:, None] * 4.0
    half = group + RNG.normal(0, 0.5, (count, 4))
    return np.hstack([half, half * 0.5 + RNG.normal(0, 0.1, (count, 4))])


def test_what_is_normal_is_not_unusual_and_what_is_not_is() -> None:
    """Fresh normal rows are called unusual about as often as p says; odd ones nearly always."""
    model = Density.fit(normal(2000), 1)
    fresh = model.p(normal(5000))
    assert 0.003 <= (fresh <= 0.01).mean() <= 0.03
    odd = normal(200)
    odd[:, :3] += 6.0
    assert (model.p(odd) <= 1e-3).mean() > 0.95


def test_same_seed_same_model() -> None:
    """Fitting twice gives the same numbers."""
    rows = normal(300)
    assert np.array_equal(Density.fit(rows, 3).score(rows), Density.fit(rows, 3).score(rows))


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((0, 5)),
        np.zeros((1, 5)),
        np.ones((SMALLEST_TRAINING - 1, 5)),
        np.ones((500, 5)),
        np.full((100, 5), np.nan),
        np.r_[np.full((50, 5), np.inf), RNG.normal(size=(100, 5))],
    ],
    ids=["nothing", "one row", "few rows", "constant", "no numbers", "partly infinite"],
)
def test_poor_training_gives_a_usable_model(rows: np.ndarray) -> None:
    """Nothing, too little, constants and non-numbers: p is still a probability, and far is less likely than near."""
    model = Density.fit(rows, 1)
    near, far = model.p(np.array([[0.5] * 5, [60.0] * 5]))
    assert 0 < far < near <= 1
    assert np.isfinite(model.p(np.full((1, 5), np.nan))).all()


def test_columns_that_never_varied_can_be_left_out() -> None:
    """A left-out constant column says nothing later; one that varied is kept."""
    rows = normal(300)
    rows[:, 7] = 0.0
    changed = rows[:20].copy()
    changed[:, 7] = 50.0
    model = Density.fit(rows, 1, left_out=(6, 7))
    assert np.allclose(model.score(changed), model.score(rows[:20]))
    changed[:, 6] += 50.0
    assert (model.score(changed) > model.score(rows[:20])).all()


def test_what_is_held_out_overlaps_nothing_that_was_learned_from() -> None:
    """Windows of a minute, once a second, each like the one before: those that make the tail are news to the model."""
    time = np.arange(1200.0)
    held, known = _divided(time, 60.0)
    assert held.any()
    assert not (held & known).any()
    assert np.abs(time[held][:, None] - time[known]).min() >= 60.0
    assert known.sum() > 0.3 * len(time)


def test_a_learning_shorter_than_a_window_learns_from_what_there_is() -> None:
    """All of it overlaps; a part is held out all the same."""
    held, known = _divided(np.linspace(0, 5, 100), 10.0)
    assert held.sum() == 25
    assert np.array_equal(known, ~held)
