"""How unusual a row of features is: an autoencoder and clusters, fitted by scikit-learn, served as matrix products.

scikit-learn is imported where it fits, not before: an analyzer that comes back with a saved baseline is there sooner.
What is served are plain arrays of 32-bit floats, column by column (`analyzer.deviation`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from analyzer.deviation import from_expected, from_nearest, scaled
from analyzer.flows import F4, F8, Bool
from analyzer.tails import Tail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPRegressor

SMALLEST_SCALE = 0.3
"""Deviation of a feature is never thought smaller: features are logarithms, or 0 and 1."""
SMALLEST_TRAINING = 40
"""Rows below which nothing is fitted."""
LARGEST_TRAINING = 20_000
BLOCKS = 20
"""Rows are divided into so many blocks in order of time; every fourth is held out for the tail."""
FEWEST_BLOCKS = 4
LONG = 3.0
"""Times the length of a window that a block of windows lasts, where that leaves blocks enough."""
BATCHES = 25
"""Steps of the autoencoder's training in one round over the rows."""


@dataclass(frozen=True)
class Density:
    """A fitted model of one kind of row."""

    centre: F4
    scale: F4
    """Infinite for features that are left out."""
    weights: tuple[F4, ...]
    """Autoencoder: input to hidden, hidden to output. Empty when there were too few rows."""
    biases: tuple[F4, ...]
    clusters: F4
    """(k, features), scaled."""
    error_usual: float
    """90 % quantile of the training's reconstruction error."""
    distance_usual: float
    """90 % quantile of the training's distance to the nearest cluster."""
    tail: Tail

    @classmethod
    def fit(
        cls, rows: F8, seed: int, left_out: tuple[int, ...] = (), *, ignored: tuple[int, ...] = (),
        independent: float = np.inf, time: F8 | None = None, lasting: float = 0.0,
    ) -> Density:  # fmt: skip
        """Fit on (n, features), in order of time; blocks of it are held out for the tail.

        Rows with a value that is not finite are left out. With less than `SMALLEST_TRAINING` the result is the prior.

        Args:
            rows: to fit on.
            seed: of every random choice.
            left_out: columns that count only if they varied.
            ignored: columns that never count.
            independent: as how many rows they count for the tail, where they overlap.
            time: (n,) when each row ended, if it lasted.
            lasting: seconds that each row lasted, so that those less apart overlap.
        """
        finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
        if len(finite) < SMALLEST_TRAINING:
            return cls.prior(rows.shape[1], rows[finite], ignored)
        taken = finite[np.linspace(0, len(finite) - 1, min(len(finite), LARGEST_TRAINING)).astype(np.int64)]
        rows = rows[taken]
        scale = np.maximum(rows.std(axis=0), SMALLEST_SCALE)
        dead = [*ignored, *(c for c in left_out if np.ptp(rows[:, c]) == 0)]
        scale[dead] = np.inf
        held, known = _divided(np.zeros(len(rows)) if time is None else time[taken], lasting)
        none = np.zeros((1, rows.shape[1]), np.float32)
        bare = cls(_f4(rows.mean(axis=0)), _f4(scale), (), (), none, 1.0, 1.0, Tail.prior())
        z = bare.scaled(rows)
        k = int(np.clip(len(z) // 25, 1, 16))
        learned = np.ascontiguousarray(z[known])
        with threadpool_limits(1):  # more threads than cores that are free wait for each other
            net, clusters = _autoencoder(learned, seed), _clusters(learned, k, seed)
        weights, biases = tuple(map(_f4, net.coefs_)), tuple(map(_f4, net.intercepts_))
        model = replace(bare, weights=weights, biases=biases, clusters=clusters)
        error, distance = (max(float(np.quantile(x, 0.9)), SMALLEST_SCALE) for x in model.deviations(learned))
        model = replace(model, error_usual=error, distance_usual=distance)
        return replace(model, tail=Tail.fit(model.score(rows[held]), independent * held.mean()))

    @classmethod
    def prior(cls, features: int, rows: F8 | None = None, ignored: tuple[int, ...] = ()) -> Density:
        """What is thought before anything was learned: the few rows there are, else silence, with a wide spread."""
        known = rows is not None and len(rows) > 0
        centre = rows.mean(axis=0) if rows is not None and known else np.zeros(features)
        spread = np.maximum(rows.std(axis=0), 1.0) if rows is not None and known else np.ones(features)
        spread[list(ignored)] = np.inf
        return cls(_f4(centre), _f4(spread), (), (), np.zeros((1, features), np.float32), 1.0, 2.0, Tail.prior())

    def score(self, rows: F8 | F4) -> F8:
        """(n,) unusualness, about 1 at the upper tenth of what was learned."""
        error, distance = self.deviations(self.scaled(rows))
        return np.asarray(np.maximum(error / self.error_usual, distance / self.distance_usual), np.float64)

    def p(self, rows: F8 | F4) -> F8:
        """(n,) calibrated share of normal rows that are as unusual."""
        return self.tail.p(self.score(rows))

    def scaled(self, rows: F8 | F4) -> F4:
        """Rows in standard deviations from the centre, within `FARTHEST`."""
        return scaled(np.ascontiguousarray(rows.T, np.float32), self.centre, self.scale).T

    def deviations(self, z: F4) -> tuple[F4, F4]:
        """Reconstruction error and distance to the nearest cluster, each the mean of the `WORST` features."""
        columns = np.ascontiguousarray(z.T)
        distance = from_nearest(columns, self.clusters @ columns, np.ascontiguousarray(self.clusters.T))
        if not self.weights:
            return np.zeros(len(z), np.float32), distance
        hidden = np.tanh(self.weights[0].T @ columns + self.biases[0][:, None])
        return from_expected(columns, self.weights[1].T @ hidden + self.biases[1][:, None]), distance


def _divided(time: F8, lasting: float) -> tuple[Bool, Bool]:
    """Which rows are held out, and which are learned from: none of these overlaps one that is held out.

    A window that overlaps one that was learned from is no news to the model, and a tail made of such is too light. Of a
    learning so short that next to nothing would be left, all that is not held out is learned from.
    """
    blocks = BLOCKS if lasting <= 0 else int(np.clip(np.ptp(time) / (LONG * lasting), FEWEST_BLOCKS, BLOCKS))
    held = (np.arange(len(time)) * blocks // len(time)) % 4 == 3
    ends = np.sort(time[held])
    overlapping = np.searchsorted(ends, time - lasting, "right") < np.searchsorted(ends, time + lasting, "left")
    apart = ~held & ~overlapping
    return held, apart if apart.sum() >= SMALLEST_TRAINING // 2 else ~held


def _f4(values: F8) -> F4:
    return np.ascontiguousarray(values, np.float32)


def _clusters(z: F4, k: int, seed: int) -> F4:
    """Centres, (k, features)."""
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(n_clusters=k, n_init=3, random_state=seed, batch_size=1024).fit(z)
    return _f4(means.cluster_centers_)


def _autoencoder(z: F4, seed: int) -> MLPRegressor:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    hidden = max(2, z.shape[1] // 3)
    net = MLPRegressor(
        hidden_layer_sizes=(hidden,),
        activation="tanh",
        alpha=1e-3,
        max_iter=60,
        batch_size=int(np.clip(len(z) // BATCHES, 1, 512)),
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a net stopped early is a wider net, not a wrong one
        return net.fit(z, z)
