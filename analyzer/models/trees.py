"""A gradient boosted forest as plain arrays, served by a compiled loop.

scikit-learn fits it (`HistGradientBoostingClassifier`); what it predicts is reproduced to the last bits of a 32-bit
float, and no pickle is needed to keep it.

Nobody walks down the trees: every question of a tree is put to a block of rows at once, and each that is answered with
"above" rules out the leaves to its left; the first leaf that is left is the row's (QuickScorer, Lucchese et al. 2015).
So there is no branch to mispredict, and the questions run in vector instructions. Questions about what many rows have
in common are asked once for all of these: flows of one VM share its windows.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.compiled import compiled
from analyzer.flows import F4, I4, I8, Bool

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

U4 = NDArray[np.uint32]
MOST_LEAVES = 32
"""Of a tree: a bit of a word each."""
_BLOCK = 512
"""Rows that questions are put to at once: their columns stay in the processor's nearest cache."""
_ALL, _ONE = np.uint32(0xFFFF_FFFF), np.uint32(1)
_DE_BRUIJN, _SHIFT = np.uint32(0x077C_B531), np.uint32(27)
"""The upper five bits of 2^i times this number differ for each i (Leiserson, Prokop and Randall, 1998)."""


class Questions(NamedTuple):
    """A forest as it is asked: the questions of one tree after the other."""

    edges: I4
    """(trees + 1,) where each tree's begin."""
    feature: I4
    """(questions,) column asked."""
    threshold: F4
    kept: U4
    """(questions,) bits of the leaves that are still possible where the column is above."""
    leaves: F4
    """(trees, MOST_LEAVES) what each leaf adds, in the order of `_place` of its bit."""

    def about(self, which: Bool, first: int) -> Questions:
        """Those of which this is said, of columns that are numbered from `first` on."""
        edges = np.concatenate([[0], np.cumsum(which)])[self.edges].astype(np.int32)
        return Questions(edges, self.feature[which] - first, self.threshold[which], self.kept[which], self.leaves)


class Common(NamedTuple):
    """The last columns of rows, where many rows have them in common."""

    rows: F4
    """(m, columns)"""
    whose: I8
    """(n,) which of them each row has."""

    def of(self, which: I8 | slice) -> Common:
        """What some of the rows have in common."""
        return Common(self.rows, self.whose[which])


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

    def __post_init__(self) -> None:
        """Raises ValueError where a tree has more than `MOST_LEAVES` leaves."""
        self._questions  # noqa: B018 - whoever has a forest can ask it

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

    def probabilities(self, rows: F4, common: Common | None = None) -> F4:
        """(n, classes) of (n, columns), behind which those in common stand."""
        own, width = self._questions, rows.shape[1]
        possible, whose = np.full((len(own.leaves), 1), _ALL), np.zeros(len(rows), np.uint32)
        if common is not None:
            shared, whose = own.feature >= width, common.whose.astype(np.uint32)  # no sign, nothing to wrap
            possible = np.empty((len(own.leaves), len(common.rows)), np.uint32)
            _leave(np.ascontiguousarray(common.rows.T), own.about(shared, width), possible)
            own = own.about(~shared, 0)
        margins = np.empty((len(self.start), len(rows)), np.float32)
        _margins(np.ascontiguousarray(rows.T), own, possible, whose, self.start, margins)
        if len(margins) == 1:
            margins = np.concatenate([np.zeros_like(margins), margins])
        odds = np.exp(margins - margins.max(axis=0))
        return np.asarray(odds / odds.sum(axis=0)).T

    @cached_property
    def _questions(self) -> Questions:
        return _asked(self.roots, self.feature, self.value, self.left, self.right)

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


def _asked(roots: I4, feature: I4, value: F4, left: I4, right: I4) -> Questions:
    """The questions of a forest, see `Forest`.

    Raises:
        ValueError: a tree has more than `MOST_LEAVES` leaves.
    """
    ends = [*roots.tolist(), len(feature)]
    leaf = feature < 0
    count, first = leaf.astype(np.int64), np.zeros(len(feature), np.int64)
    for node in np.flatnonzero(~leaf)[::-1].tolist():
        count[node] = count[left[node]] + count[right[node]]
    for node in np.flatnonzero(~leaf).tolist():
        first[left[node]], first[right[node]] = first[node], first[node] + count[left[node]]
    if count.max(initial=0) > MOST_LEAVES:
        raise ValueError(f"a tree of {count.max()} leaves; {MOST_LEAVES} are the most")
    asked = np.flatnonzero(~leaf)
    ruled_out = ((1 << count[left[asked]]) - 1) << first[asked]
    tree = np.repeat(np.arange(len(roots)), np.diff(ends))
    leaves = np.zeros((len(roots), MOST_LEAVES), np.float32)
    leaves[tree[leaf], _place(np.uint32(1) << first[leaf].astype(np.uint32))] = value[leaf]
    edges = np.searchsorted(asked, ends).astype(np.int32)
    return Questions(edges, feature[asked], value[asked], ~ruled_out.astype(np.uint32), leaves)


def _place(bit: U4) -> U4:
    """0..31 of words with one bit each, in some order."""
    return np.asarray((bit * _DE_BRUIJN) >> _SHIFT)


@compiled
def _leave(columns: F4, questions: Questions, possible: U4) -> None:
    """Fill (trees, rows) with the leaves that are still possible of (columns, rows)."""
    possible[:] = _ALL
    for begin in range(0, possible.shape[1], _BLOCK):
        end = min(begin + _BLOCK, possible.shape[1])
        for t in range(len(possible)):
            for q in range(questions.edges[t], questions.edges[t + 1]):
                _put(columns[questions.feature[q], begin:end], questions.threshold[q], questions.kept[q],
                     possible[t, begin:end])  # fmt: skip


@compiled
def _margins(columns: F4, questions: Questions, common: U4, whose: U4, start: F4, margins: F4) -> None:
    """Fill (outputs, rows) from (columns, rows); `common` has the leaves that what rows have in common leaves them."""
    possible = np.empty(_BLOCK, np.uint32)
    for begin in range(0, margins.shape[1], _BLOCK):
        end = min(begin + _BLOCK, margins.shape[1])
        for k in range(len(start)):
            margins[k, begin:end] = start[k]
        for t in range(len(common)):
            _begin(common[t], whose[begin:end], possible)
            for q in range(questions.edges[t], questions.edges[t + 1]):
                _put(columns[questions.feature[q], begin:end], questions.threshold[q], questions.kept[q], possible)
            _add(questions.leaves[t], possible, margins[t % len(start), begin:end])


@compiled
def _begin(common: U4, whose: U4, possible: U4) -> None:
    for i in range(len(whose)):
        possible[i] = common[whose[i]]


@compiled
def _put(column: F4, threshold: np.float32, kept: np.uint32, possible: U4) -> None:
    for i in range(len(column)):
        possible[i] &= kept if column[i] > threshold else _ALL


@compiled
def _add(leaves: F4, possible: U4, margin: F4) -> None:
    for i in range(len(margin)):
        bit = possible[i] & (~possible[i] + _ONE)
        margin[i] += leaves[np.uint32(bit * _DE_BRUIJN) >> _SHIFT]
