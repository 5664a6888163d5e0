"""What the classifier sees: a flow by itself, and the windows of whoever opened it; either may be missing (-1).

Columns are chosen by name, so that the analyzer may count more without making a trained model worthless. What is new to
whom is left out: it says more about the baseline than about the attack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.core import Core
from analyzer.features import FLOW_FEATURES
from analyzer.flows import F8, Array
from analyzer.models.labelled import Labelled
from analyzer.observe import FEATURES
from analyzer.site import SEGMENT
from analyzer.windows import LENGTHS

F4 = NDArray[np.float32]
FLOW_COLUMNS = (
    "duration", "src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "src_size", "dst_size", "imbalance",
    "tcp", "udp", "icmp", "rst", "fin", "failed", "answered", "outside", "admin",
)  # fmt: skip
WINDOW_COLUMNS = (
    "flows", "failed", "admin_flows", "bytes_out", "bytes_in", "dns", "packets",
    "in_hosts", "in_services", "out_hosts", "failed_services", "admin_pairs",
)  # fmt: skip
SHARES = (("failed", "flows"), ("admin_flows", "flows"), ("dns", "flows"), ("in_hosts", "in_services"))
"""Ratios, which trees cannot form."""
SECONDS = (10.0, 60.0, 600.0)
MISSING = -1.0
"""Every column is 0 or more where it is known, but for `imbalance`, which is a logarithm of a ratio."""
STEP_SECONDS, STEP_ROWS = 1.0, 64
_FLOW = np.array([FLOW_FEATURES.index(name) for name in FLOW_COLUMNS])
_WINDOW = np.array([FEATURES.index(name) for name in WINDOW_COLUMNS])
_LENGTH = np.array([LENGTHS.index(seconds) for seconds in SECONDS])
COLUMNS = (
    *FLOW_COLUMNS,
    *(f"{name} {seconds:g}s" for seconds in SECONDS for name in (*WINDOW_COLUMNS, *("/".join(two) for two in SHARES))),
)


@dataclass(frozen=True)
class Samples:
    """Rows of one capture."""

    name: str
    rows: F4
    """(n, len(COLUMNS))"""
    kind: Array
    """(n,) object: class or `benign`."""
    digest: str


def of_flows(features: F8) -> F4:
    """(n, len(FLOW_COLUMNS)) of flow features."""
    return features[:, _FLOW].astype(np.float32)


def of_windows(values: F8) -> F4:
    """(n, columns of windows) of window values (lengths, n, features); -1 throughout where they are -1."""
    chosen = values[_LENGTH][:, :, _WINDOW]
    parts = []
    for window in chosen:
        known = {name: window[:, i] for i, name in enumerate(WINDOW_COLUMNS)}
        shares = [known[part] / np.maximum(known[whole], 1) for part, whole in SHARES]
        parts += [np.log1p(np.maximum(window, 0)), np.stack(shares, axis=1)]
    rows = np.hstack(parts).astype(np.float32)
    rows[(chosen < 0).any(axis=(0, 2))] = MISSING
    return rows


def without_flow(windows: F4) -> F4:
    """Rows of subjects of whom the windows alone are known."""
    return np.hstack([np.full((len(windows), len(FLOW_COLUMNS)), MISSING, np.float32), windows])


def take(capture: Labelled, most: int, seed: int) -> Samples:
    """Samples of a capture, at most so many of each class, drawn evenly.

    The analyzer runs over the capture as it does live, so a row is what it would have seen when the flow was reported.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(capture.batch), bool)
    for kind in {kind for kind in capture.kind.tolist() if kind is not None}:
        own = np.flatnonzero(capture.kind == kind)
        chosen[own if len(own) <= most else rng.choice(own, most, replace=False)] = True
    core = Core(np.full(len(capture.site.names), SEGMENT, np.int16), seed)
    core.restart_learning()
    found, done = [], 0
    for part in capture.batch.slices(STEP_SECONDS, STEP_ROWS):
        core.feed(part)
        wanted = part.rows[chosen[done : done + len(part)]]
        done += len(part)
        if len(wanted):
            flows = of_flows(core.features_of(wanted))
            flows[wanted["src_segment"] < 0, FLOW_COLUMNS.index("outside")] = MISSING
            found.append(np.hstack([flows, of_windows(core.windows_of(wanted))]))
    rows = np.concatenate(found) if found else np.zeros((0, len(COLUMNS)), np.float32)
    return Samples(capture.name, rows, capture.kind[chosen], capture.digest)


def masked(samples: Samples) -> Samples:
    """Every row three times: whole, the flow alone, the windows alone (where they are known)."""
    width = len(FLOW_COLUMNS)
    known = samples.rows[:, width] != MISSING
    lone, subjects = samples.rows.copy(), samples.rows[known].copy()
    lone[:, width:], subjects[:, :width] = MISSING, MISSING
    rows = np.concatenate([samples.rows, lone[known], subjects])
    kind = np.concatenate([samples.kind, samples.kind[known], samples.kind[known]])
    return Samples(samples.name, rows, kind, samples.digest)
