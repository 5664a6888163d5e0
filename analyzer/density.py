"""How unusual a row of features is: an autoencoder and clusters, fitted by scikit-learn, served as matrix products.

scikit-learn is imported where it fits, not before: an analyzer that comes back with a saved baseline is there sooner.
What is served are plain arrays of 32-bit floats.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analyzer.compiled import compiled
from analyzer.flows import F8, I8
from analyzer.tails import Tail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPRegressor

F4 = NDArray[np.float32]
SMALLEST_SCALE = 0.3
"""Deviation of a feature is never thought smaller: features are logarithms, or 0 and 1."""
FARTHEST = 12.0
"""Standard deviations beyond which far is far."""
WORST = 3
"""A row is as unusual as its most deviating features: an attack moves some, not all."""
SMALLEST_TRAINING = 40
"""Rows below which nothing is fitted."""
LARGEST_TRAINING = 20_000
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
        cls, rows: F8, seed: int, left_out: tuple[int, ...] = (), *, ignored: tuple[int, ...] = (), folds: int = 0
    ) -> Density:
        """Fit on (n, features), in order of time; blocks of it are held out for the tail.

        Rows with a value that is not finite are left out. With less than `SMALLEST_TRAINING` the result is the prior.

        Args:
            rows: to fit on.
            seed: of every random choice.
            left_out: columns that count only if they varied.
            ignored: columns that never count.
        """
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) < SMALLEST_TRAINING:
            return cls.prior(rows.shape[1], rows, ignored)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LARGEST_TRAINING)).astype(np.int64)]
        scale = np.maximum(rows.std(axis=0), SMALLEST_SCALE)
        dead = [*ignored, *(c for c in left_out if np.ptp(rows[:, c]) == 0)]
        scale[dead] = np.inf
        held = (np.arange(len(rows)) * 20 // len(rows)) % 4 == 3  # 20 blocks of time, every fourth held out
        none = np.zeros((1, rows.shape[1]), np.float32)
        bare = cls(_f4(rows.mean(axis=0)), _f4(scale), (), (), none, 1.0, 1.0, Tail.prior())
        z = bare.scaled(rows)
        k = int(np.clip(len(z) // 25, 1, 16))
        with threadpool_limits(1):  # more threads than cores that are free wait for each other
            net, clusters = _autoencoder(z[~held], seed), _clusters(z[~held], k, seed)
        weights, biases = tuple(map(_f4, net.coefs_)), tuple(map(_f4, net.intercepts_))
        model = replace(bare, weights=weights, biases=biases, clusters=clusters)
        error, distance = (max(float(np.quantile(x, 0.9)), SMALLEST_SCALE) for x in model.deviations(z[~held]))
        model = replace(model, error_usual=error, distance_usual=distance)
        return replace(model, tail=Tail.fit(model.score(rows[held])))

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
        return _scaled(np.ascontiguousarray(rows, np.float32), self.centre, self.scale)

    def deviations(self, z: F4) -> tuple[F4, F4]:
        """Reconstruction error and distance to the nearest cluster, each the mean of the `WORST` features."""
        distance = _worst(z, self.clusters[_nearest(z, self.clusters)])
        if not self.weights:
            return np.zeros(len(z), np.float32), distance
        hidden = np.tanh(z @ self.weights[0] + self.biases[0])
        return _worst(z, hidden @ self.weights[1] + self.biases[1]), distance


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


def _nearest(z: F4, clusters: F4) -> I8:
    """Row of the nearest cluster; |z|^2 is the same for all and left away."""
    return np.asarray(((clusters**2).sum(axis=1) - 2 * z @ clusters.T).argmin(axis=1))


@compiled
def _scaled(rows: F4, centre: F4, scale: F4) -> F4:
    """Not a number counts as 0 before centring, like silence; what is infinite is far."""
    z = np.empty_like(rows)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            value = rows[i, j]
            if np.isnan(value):
                value = np.float32(0.0)
            deviation = np.float32(0.0) if np.isinf(scale[j]) else (value - centre[j]) / scale[j]
            z[i, j] = min(max(deviation, np.float32(-FARTHEST)), np.float32(FARTHEST))
    return z


@compiled
def _worst(z: F4, other: F4) -> F4:
    """Mean of the `WORST` largest differences of each row."""
    count, width = z.shape
    most = min(WORST, width)
    result = np.empty(count, np.float32)
    largest = np.empty(most, np.float32)
    for i in range(count):
        largest[:] = 0.0
        for j in range(width):
            value = abs(z[i, j] - other[i, j])
            if value > largest[0]:
                place = 0  # ascending; the smallest of them falls out
                while place + 1 < most and value > largest[place + 1]:
                    largest[place] = largest[place + 1]
                    place += 1
                largest[place] = value
        total = np.float32(0.0)
        for value in largest:
            total += value
        result[i] = total / most
    return result
