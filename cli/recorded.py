"""Flows of the archive as the columns that a policy's impact is counted on.

The archive is the analyzer's and the judgement the engine's, and neither imports the other: it is for the command line
to put them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

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
    protocols = _named(table["proto"])
    numbers = np.array([_NUMBERS.get(name) or int(name) for name in protocols.names.to_pylist()], np.uint8)
    first = table["part"].to_numpy() == 0
    if since is not None:  # a part starts where the one before ended, so the one before it was not looked at
        first |= _seconds(table["start"]) < since
    return FlowColumns(
        _named(table["src_vm"]),
        _named(table["dst_vm"]),
        _named(table["src_ip"]),
        _named(table["dst_ip"]),
        numbers[protocols.codes],
        table["src_port"].to_numpy(),
        table["dst_port"].to_numpy(),
        table["src_pkts"].to_numpy() + table["dst_pkts"].to_numpy(),
        table["src_bytes"].to_numpy() + table["dst_bytes"].to_numpy(),
        _seconds(table["opened"]),
        first,
        table["spoofed"].to_numpy(),
        table["dst_segment"].is_null().to_numpy(),
    )


def _named(column: pa.ChunkedArray) -> Named:
    """The chunks' dictionaries one after the other; what is in several of them has several codes."""
    found: list[np.ndarray[tuple[int], np.dtype[np.int32]]] = []
    begin = 0
    for chunk in column.chunks:
        codes = chunk.indices.fill_null(-1).to_numpy() if chunk.null_count else chunk.indices.to_numpy()
        found.append(np.where(codes < 0, np.int32(-1), codes + np.int32(begin)))
        begin += len(chunk.dictionary)
    return Named(np.concatenate(found), pa.concat_arrays([chunk.dictionary for chunk in column.chunks]))


def _seconds(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(column.cast(pa.int64()).to_numpy() / 1e6)
