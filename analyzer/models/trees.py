"""A gradient boosted forest as plain arrays, served by a compiled loop.

scikit-learn fits it (`HistGradientBoostingClassifier`); what it predicts is reproduced to the last bits of a 32-bit
float, and no pickle is needed to keep it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analyzer.compiled import compiled

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

F4 = NDArray[np.float32]
I4 = NDArray[np.int32]


@dataclass(frozen=True)
class Forest:
    """Trees one after the other; a node's children have higher numbers than it."""

    roots: I4
    """(trees,) first node of each; tree t adds to output t % outputs."""
    feature: I4
    """(nodes,) column asked; -1: a leaf."""
    value: F4
    """(nodes,) threshold, or what the leaf adds."""
    left: I4
    """(nodes,) next node where the column is not above the threshold."""
    right: I4
    start: F4
    """(outputs,) what every row begins with. One output: two classes, log-odds of the second."""

    @classmethod
    def of(cls, model: HistGradientBoostingClassifier) -> Forest:
        """From a fitted model without categorical columns and without missing values."""
        trees = [tree.nodes for iteration in model._predictors for tree in iteration]  # noqa: SLF001 - no public way
        counts = np.array([len(nodes) for nodes in trees])
        roots = np.cumsum(counts) - counts
        nodes = np.concatenate(trees)
        shift = np.repeat(roots, counts)
        leaf = nodes["is_leaf"].astype(bool)
        return cls(
            roots.astype(np.int32),
            np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32),
            np.where(leaf, nodes["value"], _not_above(nodes["num_threshold"])).astype(np.float32),
            np.where(leaf, 0, nodes["left"] + shift).astype(np.int32),
            np.where(leaf, 0, nodes["right"] + shift).astype(np.int32),
            np.asarray(model._baseline_prediction, np.float32).ravel(),  # noqa: SLF001 - the same
        )

    def probabilities(self, rows: F4) -> F4:
        """(n, classes) of (n, columns)."""
        margins = _margins(
            np.ascontiguousarray(rows), self.roots, self.feature, self.value, self.left, self.right, self.start
        )
        if margins.shape[1] == 1:
            margins = np.hstack([np.zeros_like(margins), margins])
        odds = np.exp(margins - margins.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def to_bytes(self) -> bytes:
        """As a NumPy archive."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Forest:
        """From `to_bytes`; nothing in it is ever executed.

        Raises:
            ValueError: it is something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as kept:
                return cls(*(kept[field.name] for field in fields(cls)))
        except (OSError, KeyError, EOFError) as error:
            raise ValueError(f"no forest: {error}") from error


def _not_above(thresholds: NDArray[np.float64]) -> F4:
    """The largest 32-bit floats that are not above, so that a 32-bit column goes the same way."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


@compiled
def _margins(rows: F4, roots: I4, feature: I4, value: F4, left: I4, right: I4, start: F4) -> F4:
    outputs = len(start)
    result = np.empty((len(rows), outputs), np.float32)
    for i in range(len(rows)):
        for k in range(outputs):
            result[i, k] = start[k]
        for t in range(len(roots)):
            node = roots[t]
            while feature[node] >= 0:
                node = right[node] if rows[i, feature[node]] > value[node] else left[node]
            result[i, t % outputs] += value[node]
    return result
