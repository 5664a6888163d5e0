"""Loops over columns say what the plain formulas say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.deviation import FARTHEST, WORST, from_expected, from_nearest, scaled
from analyzer.flows import F4

SIZES = st.tuples(st.integers(1, 600), st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
"""Rows, also more than a block of them; features; centres; seed."""


def worst(differences: F4) -> F4:
    """Mean of the largest of (features, rows)."""
    return np.asarray(np.sort(np.abs(differences), axis=0)[-WORST:].mean(axis=0))


@given(SIZES)
def test_the_worst_features_count(sizes: tuple[int, int, int, int]) -> None:
    """However many rows and features there are, also fewer than count."""
    count, width, _, seed = sizes
    z, expected = np.random.default_rng(seed).normal(size=(2, width, count)).astype(np.float32)
    assert np.allclose(from_expected(z, expected), worst(z - expected), atol=1e-5)


@given(SIZES)
def test_the_nearest_centre_counts(sizes: tuple[int, int, int, int]) -> None:
    """By Euclid; what differs from it is ranked as what differs from what was expected."""
    count, width, k, seed = sizes
    rng = np.random.default_rng(seed)
    z, centres = (rng.normal(size=(width, n)).astype(np.float32) for n in (count, k))
    nearest = ((z[:, None] - centres[:, :, None]) ** 2).sum(axis=0).argmin(axis=0)
    found = from_nearest(z, centres.T @ z, centres)
    assert np.allclose(found, worst(z - centres[:, nearest]), atol=1e-4)


def test_strange_numbers_are_near_or_far() -> None:
    """Not a number is silence, the infinite is as far as can be, and a feature that is left out is never off."""
    columns = np.array([[np.nan, np.inf, -np.inf, 3.0], [np.nan, np.inf, -np.inf, 3.0]], np.float32)
    z = scaled(columns, np.array([1.0, 1.0], np.float32), np.array([2.0, np.inf], np.float32))
    assert z.tolist() == [[-0.5, FARTHEST, -FARTHEST, 1.0], [0.0] * 4]
