"""Compiling, or reading from disk, all loops of the collector before the first datagram waits for them.

`python -m analyzer.warm` is part of the set-up: the first start of an analyzer would take some ten seconds longer.
"""

from __future__ import annotations

import logging
import time

import numpy as np

from analyzer.attribute import SIDE, Attribution
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
    Attribution(Inventory({}, {}, (), {}, {})).attribute(Records(np.zeros(1, RECORD), one.astype(np.int32), one, one))
    if (seconds := time.monotonic() - begin) > _LONG_SECONDS:
        log.info("compiled the collector's loops in %.0f s; the next start finds them on disk", seconds)


if __name__ == "__main__":
    up()
