"""How unusual a row of features is: an autoencoder and clusters, fitted by scikit-learn, served as matrix products.

scikit-learn is imported where it fits, not before: an analyzer that comes back with a saved baseline is there sooner.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.flows import F8
from analyzer.tails import Tail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPRegressor

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

    centre: F8
    scale: F8
    """Infinite for features that are left out."""
    weights: tuple[F8, ...]
    """Autoencoder: input to hidden, hidden to output. Empty when there were too few rows."""
    biases: tuple[F8, ...]
    clusters: F8
    """(k, features), scaled."""
    error_usual: float
    """90 % quantile of the training's reconstruction error."""
    distance_usual: float
    """90 % quantile of the training's distance to the nearest cluster."""
    tail: Tail

    @classmethod
    def fit(cls, rows: F8, seed: int, left_out: tuple[int, ...] = ()) -> Density:
        """Fit on (n, features), in order of time; blocks of it are held out for the tail.

        Rows with a value that is not finite are left out, and so are columns `left_out` that never vary. With less
        than `SMALLEST_TRAINING` rows the result is the prior.
        """
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) < SMALLEST_TRAINING:
            return cls.prior(rows.shape[1], rows)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LARGEST_TRAINING)).astype(np.int64)]
        scale = np.maximum(rows.std(axis=0), SMALLEST_SCALE)
        dead = [c for c in left_out if np.ptp(rows[:, c]) == 0]
        scale[dead] = np.inf
        held = (np.arange(len(rows)) * 20 // len(rows)) % 4 == 3  # 20 blocks of time, every fourth held out
        bare = cls(rows.mean(axis=0), scale, (), (), np.zeros((1, rows.shape[1])), 1.0, 1.0, Tail.prior())
        z = bare.scaled(rows)
        net = _autoencoder(z[~held], seed)
        k = int(np.clip(len(z) // 25, 1, 16))
        model = replace(
            bare, weights=tuple(net.coefs_), biases=tuple(net.intercepts_), clusters=_clusters(z[~held], k, seed)
        )
        error, distance = (max(float(np.quantile(x, 0.9)), SMALLEST_SCALE) for x in model.deviations(z[~held]))
        model = replace(model, error_usual=error, distance_usual=distance)
        return replace(model, tail=Tail.fit(model.score(rows[held])))

    @classmethod
    def prior(cls, features: int, rows: F8 | None = None) -> Density:
        """What is thought before anything was learned: the few rows there are, else silence, with a wide spread."""
        known = rows is not None and len(rows) > 0
        centre = rows.mean(axis=0) if rows is not None and known else np.zeros(features)
        spread = np.maximum(rows.std(axis=0), 1.0) if rows is not None and known else np.ones(features)
        return cls(centre, spread, (), (), np.zeros((1, features)), 1.0, 2.0, Tail.prior())

    def score(self, rows: F8) -> F8:
        """(n,) unusualness, about 1 at the upper tenth of what was learned."""
        error, distance = self.deviations(self.scaled(rows))
        return np.maximum(error / self.error_usual, distance / self.distance_usual)

    def p(self, rows: F8) -> F8:
        """(n,) calibrated share of normal rows that are as unusual."""
        return self.tail.p(self.score(rows))

    def scaled(self, rows: F8) -> F8:
        """Rows in standard deviations from the centre, within `FARTHEST`."""
        z = (np.nan_to_num(rows, posinf=1e30, neginf=-1e30) - self.centre) / self.scale
        return np.asarray(np.clip(z, -FARTHEST, FARTHEST))

    def deviations(self, z: F8) -> tuple[F8, F8]:
        """Reconstruction error and distance to the nearest cluster, each the mean of the `WORST` features."""
        near = self.clusters[_nearest(z, self.clusters)]
        distance = _worst(z - near)
        if not self.weights:
            return np.zeros(len(z)), distance
        hidden = np.tanh(z @ self.weights[0] + self.biases[0])
        return _worst(hidden @ self.weights[1] + self.biases[1] - z), distance


def _clusters(z: F8, k: int, seed: int) -> F8:
    """Centres, (k, features)."""
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(n_clusters=k, n_init=3, random_state=seed, batch_size=1024).fit(z)
    return np.asarray(means.cluster_centers_)


def _autoencoder(z: F8, seed: int) -> MLPRegressor:
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


def _nearest(z: F8, clusters: F8) -> F8:
    """Row of the nearest cluster; |z|^2 is the same for all and left away."""
    return np.asarray(((clusters**2).sum(axis=1) - 2 * z @ clusters.T).argmin(axis=1))


def _worst(difference: F8) -> F8:
    size = np.abs(difference)
    most = min(WORST, size.shape[1])
    return np.asarray(np.partition(size, size.shape[1] - most, axis=1)[:, -most:].mean(axis=1))
