"""Compiling, or reading from disk, all loops of the analyzer before the first datagram waits for them.

`python -m analyzer.warm` is part of the set-up: the first start of an analyzer would take a minute longer.
"""

from __future__ import annotations

import logging
import time

import numpy as np

from analyzer import baseline
from analyzer.allowance import Allowance
from analyzer.attribute import SIDE, Attribution
from analyzer.core import Core
from analyzer.deviation import from_expected
from analyzer.flows import TCP, FlowBatch, FlowState
from analyzer.models.trees import Common, Forest
from analyzer.netflow import RECORD, Records
from analyzer.pair import FlowTable, flow_keys
from topology.model import Inventory

_LONG_SECONDS = 3.0

log = logging.getLogger("dynseg.analyzer.warm")


def up() -> None:
    """Run everything that is compiled once, on next to nothing."""
    begin = time.monotonic()
    sides = np.zeros(1, SIDE)
    table = FlowTable(16, 1)
    table.witness(sides)
    table.update(sides)
    flow_keys(sides, 1)
    one = np.zeros(1)
    baseline.log.disabled = True  # it would say that this is too little to learn from
    try:
        _judging()
    finally:
        baseline.log.disabled = False
    _models()
    Attribution(Inventory({}, {}, (), {}, {})).attribute(Records(np.zeros(1, RECORD), one.astype(np.int32), one, one))
    if (seconds := time.monotonic() - begin) > _LONG_SECONDS:
        log.info("compiled the collector's loops in %.0f s; the next start finds them on disk", seconds)


def _judging() -> None:
    """A core that learns and judges two flows: one of a VM's, and one of an outside address that is tracked."""
    core = Core(np.array([0, 1], np.int16), 1)
    events = FlowBatch.empty(4)
    rows = events.rows
    rows["src_vm"][:2], rows["src_segment"][:2], rows["dst_vm"][2:], rows["dst_segment"][2:] = 1, 1, 1, 1
    rows["proto"], rows["state"], rows["src_pkts"], rows["end"] = TCP, FlowState.NEW, 1, 1.0
    for learned in (None, core.stop_learning()(0, "")):
        if learned is None:
            core.restart_learning()
        else:
            core.judge_by(learned)
        core.feed(events)
        list(core.steps(events, np.array([0, 4]), whole=True))
        core.score(rows, core.finish(rows))
        core.count_packets(2.0, np.array([1]), "switch_packets", np.ones(1))
        core.windows_of(rows)
        core.forget(1, 2.0)


def _models() -> None:
    """What a baseline of so little does not come to: an autoencoder, corrected tails, a forest."""
    two, segment = np.zeros((2, 2), np.float32), np.zeros(2, np.int16)
    from_expected(two, two)
    allowance = Allowance(0, 1)
    allowance.note(segment, np.zeros((1, 2)), np.ones(2, bool))
    allowance.adjust(segment, np.zeros((1, 2)))
    number, weight = np.zeros(1, np.int32), np.zeros(1, np.float32)
    Forest(number, number - 1, weight, number, number, weight).probabilities(two, Common(two, segment.astype(np.int64)))


if __name__ == "__main__":
    up()
