"""What the classifier sees: a flow by itself, and the windows of whoever opened it; either may be missing (-1).

Columns are chosen by name, so that the analyzer may count more without making a trained model worthless. What is new to
whom is left out: it says more about the baseline than about the attack.
"""

from __future__ import annotations

import numpy as np

from analyzer.features import FLOW_FEATURES
from analyzer.flows import F4, F8, I8
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS

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
_FLOW = np.array([FLOW_FEATURES.index(name) for name in FLOW_COLUMNS])
_WINDOW = np.array([FEATURES.index(name) for name in WINDOW_COLUMNS])
_LENGTH = np.array([LENGTHS.index(seconds) for seconds in SECONDS])
COLUMNS = (
    *FLOW_COLUMNS,
    *(f"{name} {seconds:g}s" for seconds in SECONDS for name in (*WINDOW_COLUMNS, *("/".join(two) for two in SHARES))),
)


def of_flows(features: F4) -> F4:
    """(n, len(FLOW_COLUMNS)) of flow features; a column is in one place."""
    return np.asarray(features.T[_FLOW]).T


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


def joined(flows: F4, windows: F4, whose: I8) -> F4:
    """Rows of flows with the windows (a row of `windows`) of whose each is."""
    return np.hstack([flows, windows[whose]])


def without_flow(windows: F4) -> F4:
    """Rows of subjects of whom the windows alone are known."""
    return np.hstack([np.full((len(windows), len(FLOW_COLUMNS)), MISSING, np.float32), windows])
