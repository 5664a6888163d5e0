"""Training of the classifier of known attacks, and what it is worth on captures that it has not seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from analyzer.flows import F4, F8, Array
from analyzer.models.classes import BENIGN, NAMES
from analyzer.models.known import KnownAttacks
from analyzer.models.samples import Samples, masked
from analyzer.models.trees import Forest
from runtime.errors import ModelError

MOST = 2000
"""Flows of a class taken from one capture."""
ITERATIONS, LEAVES, RATE = 40, 15, 0.15
FEWEST_IN_LEAF = 20


@dataclass(frozen=True)
class Confusion:
    """How often what was called what, on captures that were left out of training."""

    counts: Mapping[tuple[str, str], int]
    """(truth, said) -> flows."""
    captures: tuple[str, ...]

    def shares(self) -> dict[str, float]:
        """For the manifest: benign flows called an attack; attack flows called an attack, and called by their name."""
        total: Counter[str] = Counter()
        for (truth, said), count in self.counts.items():
            total["benign" if truth == BENIGN else "attack"] += count
            total["called"] += count * (truth == BENIGN != said)
            total["found"] += count * (BENIGN not in (truth, said))
            total["named"] += count * (truth != BENIGN and said == truth)
        return {
            "unseen captures: benign called attack": round(total["called"] / max(total["benign"], 1), 6),
            "unseen captures: attack called attack": round(total["found"] / max(total["attack"], 1), 6),
            "unseen captures: attack named rightly": round(total["named"] / max(total["attack"], 1), 6),
        }

    def table(self) -> str:
        """As text: a line a truth, a column an answer."""
        names = [name for name in (BENIGN, *NAMES) if any(name in pair for pair in self.counts)]
        width = max(map(len, (*names, "truth \\ said"))) + 2
        lines = ["truth \\ said".ljust(width) + "".join(name.rjust(width) for name in names)]
        for truth in names:
            cells = "".join(str(self.counts.get((truth, said), 0)).rjust(width) for said in names)
            lines.append(truth.ljust(width) + cells)
        return "\n".join(lines)


def fit(parts: Sequence[Samples], seed: int) -> KnownAttacks:
    """Train on captures.

    Raises:
        ModelError: no benign flows among them, or no attacks.
    """
    found = [masked(part) for part in parts if len(part.rows)]
    kind = np.concatenate([part.kind for part in found]) if found else np.zeros(0, object)
    attack = kind != BENIGN
    if not len(kind) or attack.all() or not attack.any():
        what = (
            "no attacks" if len(kind) and not attack.any() else "no benign flows" if len(kind) else "no labelled flows"
        )
        raise ModelError(f"there is nothing to tell apart: {what}", remedy="add captures that have them")
    rows = np.concatenate([part.rows for part in found])
    capture = np.repeat(np.arange(len(found)), [len(part.rows) for part in found])
    names = tuple(name for name in NAMES if (kind == name).any())
    gate = _forest(rows, attack.astype(np.int64), _weights(attack, capture), seed)
    which = np.array([names.index(name) for name in kind[attack]])
    namer = _forest(rows[attack], which, _weights(which, capture[attack]), seed) if len(names) > 1 else gate
    return KnownAttacks(gate, namer, names)


def across(parts: Sequence[Samples], seed: int, tell: Callable[[str], None]) -> Confusion:
    """Leave each capture out in turn, train on the others, and ask about it.

    Captures without which nothing could be trained are not asked about.
    """
    counts: Counter[tuple[str, str]] = Counter()
    asked = []
    for left_out in parts:
        try:
            model = fit([part for part in parts if part is not left_out], seed)
        except ModelError as error:
            tell(f"{left_out.name}: not asked, without it {error.message}")
            continue
        named = model.rows(left_out.rows)
        said = [model.names[number] if number >= 0 else BENIGN for number in named.kind.tolist()]
        own = Counter(zip(left_out.kind.tolist(), said, strict=True))
        counts += own
        asked.append(left_out.name)
        right = sum(count for (truth, answer), count in own.items() if truth == answer)
        tell(f"{left_out.name}: {right} of {len(said)} flows named rightly by a model that has not seen it")
    return Confusion(dict(counts), tuple(asked))


def without_family(parts: Sequence[Samples], seed: int) -> dict[str, float]:
    """Leave each class of attack out of all captures in turn: share of its flows called an attack all the same.

    Classes without which nothing could be trained are left away.
    """
    found = {}
    for name in NAMES:
        others = [
            replace(part, rows=part.rows[keep], kind=part.kind[keep])
            for part in parts
            if (keep := part.kind != name).any()
        ]
        own = [part.rows[part.kind == name] for part in parts]
        if not sum(map(len, own)):
            continue
        try:
            model = fit(others, seed)
        except ModelError:
            continue
        found[name] = round(float((model.rows(np.concatenate(own)).kind >= 0).mean()), 4)
    return found


def with_calibration(model: KnownAttacks, shares: Mapping[str, float]) -> KnownAttacks:
    """The model that says how it did on captures that it had not seen."""
    return replace(model, calibration=dict(shares))


def digest(parts: Sequence[Samples]) -> str:
    """Of everything that was trained on."""
    return hashlib.sha256("\n".join(sorted(f"{part.digest} {part.name}" for part in parts)).encode()).hexdigest()


def _weights(kind: Array, capture: Array) -> F8:
    """Classes weigh the same; within a class a capture weighs as the root of its rows."""
    weight = np.zeros(len(kind))
    for one in np.unique(kind):
        own = kind == one
        sizes = np.bincount(capture[own])
        weight[own] = 1 / np.sqrt(sizes[capture[own]])
        weight[own] /= weight[own].sum()
    return weight * len(kind) / len(np.unique(kind))


def _forest(rows: F4, kind: Array, weight: F8, seed: int) -> Forest:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=ITERATIONS,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=FEWEST_IN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):  # threads of its own that wait for each other are slower than one, beside other work
        return Forest.of(model.fit(rows, kind, sample_weight=weight))
