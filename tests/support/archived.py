"""Flows for the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from support.telemetry import START, inventory

from analyzer.archive.decisions import Decided, Decision
from analyzer.archive.schema import Encoder, Judged, Note
from analyzer.flows import FlowBatch, address_halves
from analyzer.ledger import Parts

NET = inventory()
ENCODER = Encoder(NET)


def flow(
    source: str = "web1", target: str = "db1", at: float = 0.0, seconds: float = 1.0, **more: Any
) -> Mapping[str, Any]:
    """A row's cells: ends by VM name or address; `at` is when it ends, in seconds after `START`."""
    row: dict[str, Any] = {"start": START + at - seconds, "end": START + at, "proto": 6, "src_port": 40_000}
    for end, name in (("src", source), ("dst", target)):
        vm = NET.vms.get(name)
        row[f"{end}_hi"], row[f"{end}_lo"] = address_halves(str(vm.addresses[0]) if vm else name)
        row[f"{end}_vm"] = vm.number if vm else 0
        row[f"{end}_segment"] = NET.segment_number(vm)
    first = NET.vms.get(source)
    row["vfn"] = NET.vfns[first.vfn].number if first else NET.vfns["core"].number
    return {**row, "dst_port": 443, "src_pkts": 3, "dst_pkts": 2, "src_bytes": 300, "dst_bytes": 2000, **more}


def judged(
    flows: Sequence[Mapping[str, Any]],
    decision: Decision = Decision.ALLOWED,
    score: float = 0.0,
    note: Note | None = None,
    rule: str | None = None,
) -> Judged:
    """Flows that were all decided, scored and explained alike."""
    rows = FlowBatch.empty(len(flows)).rows
    for i, cells in enumerate(flows):
        for name, value in cells.items():
            rows[name][i] = value
    count = len(flows)
    decided = Decided(
        np.full(count, decision, np.uint8), np.full(count, -1 if rule is None else 0), () if rule is None else (rule,)
    )
    index = np.full(count, -1 if note is None else 0)
    return Judged(Parts.whole(rows), decided, np.full(count, score), index, [] if note is None else [note])
