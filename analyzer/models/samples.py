"""Rows to train on: what the analyzer would have seen of a labelled capture's flows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.core import Core
from analyzer.flows import F4, Array
from analyzer.models.columns import COLUMNS, FLOW_COLUMNS, MISSING, joined, of_flows, of_windows
from analyzer.models.labelled import Labelled
from analyzer.site import SEGMENT

STEP_SECONDS, STEP_ROWS = 1.0, 64


@dataclass(frozen=True)
class Samples:
    """Rows of one capture."""

    name: str
    rows: F4
    """(n, len(COLUMNS))"""
    kind: Array
    """(n,) object: class or `benign`."""
    digest: str


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
            windows, whose = core.windows_of(wanted)
            found.append(joined(flows, of_windows(windows), whose))
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
