"""Flows of the archive as the columns that a policy's impact is counted on.

The archive is the analyzer's and the judgement the engine's, and neither imports the other: it is for the command line
to put them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analyzer.archive.query import Filter
from analyzer.archive.scan import scan
from analyzer.names import PROTOCOLS
from policies.impact.flows import FlowColumns, Named

_COLUMNS = (
    *("src_vm", "dst_vm", "src_ip", "dst_ip", "proto", "src_port", "dst_port"),
    *("src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "opened", "start", "part", "spoofed", "dst_segment"),
)
_NUMBERS = {name: number for number, name in PROTOCOLS.items()}


def recorded(archive: Path, since: float | None, until: float | None) -> Iterator[FlowColumns]:
    """Flows that ended within a time (epoch seconds), piece by piece.

    Raises:
        ArchiveError: there is no archive, or a file is damaged.
    """
    for table in scan(archive, Filter(since=since, until=until), _COLUMNS):
        yield _columns(table, since)


def _columns(table: pa.Table, since: float | None) -> FlowColumns:
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    protocols = _named(columns["proto"])
    numbers = np.array([_NUMBERS.get(name) or int(name) for name in protocols.names.to_pylist()], np.uint8)
    first = columns["part"].to_numpy() == 0
    if since is not None:  # a part starts where the one before ended, so the one before it was not looked at
        first |= _seconds(columns["start"]) < since
    return FlowColumns(
        _named(columns["src_vm"]),
        _named(columns["dst_vm"]),
        _named(columns["src_ip"]),
        _named(columns["dst_ip"]),
        numbers[protocols.codes],
        columns["src_port"].to_numpy(),
        columns["dst_port"].to_numpy(),
        pc.add(columns["src_pkts"], columns["dst_pkts"]).to_numpy(),
        pc.add(columns["src_bytes"], columns["dst_bytes"]).to_numpy(),
        _seconds(columns["opened"]),
        first,
        columns["spoofed"].to_numpy(zero_copy_only=False),
        columns["dst_segment"].is_null().to_numpy(zero_copy_only=False),
    )


def _named(column: pa.DictionaryArray) -> Named:
    indices = column.indices.fill_null(-1) if column.null_count else column.indices
    codes = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return Named(codes, column.dictionary)


def _seconds(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(column.cast(pa.int64()).to_numpy() / 1e6)
