"""Any file that can be imported: what it is, its flows, and a CSV file of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analyzer import csvflows
from analyzer.flows import FlowBatch
from analyzer.importers import argus, capture, cic, unsw, zeek
from analyzer.importers.columns import COLUMNS, Columns, Faults
from analyzer.importers.framing import PCAP, PCAPNG
from analyzer.importers.lines import beginning, lines
from analyzer.site import FlowFileError, Site
from runtime.files import replacing

KINDS = (
    "Zeek's conn.log (TSV or JSON lines), argus' binetflow CSV, CICFlowMeter's CSV (CIC-IDS2017/2018), UNSW-NB15's CSV,"
    " pcap and pcapng, each also gzipped"
)


@dataclass(frozen=True)
class Imported:
    """The flows of one file, ordered by their end."""

    table: pd.DataFrame
    """Text in the columns of `COLUMNS`."""
    batch: FlowBatch
    """The same, as the analyzer takes them."""
    faults: Faults


def read(path: Path, site: Site) -> Imported:
    """The flows of a file.

    Args:
        path: of one of the `KINDS`.
        site: the network it was recorded in; takes note of its hosts.

    Raises:
        FlowFileError: it cannot be read at all, or is of no known kind.
    """
    faults = Faults(path)
    table = _columns(path, faults).table(faults)
    return Imported(table, csvflows.parse(path, table, site), faults)


def write(path: Path, tables: Sequence[pd.DataFrame]) -> None:
    """Flows of several files as one CSV (gzipped if `path` ends in .gz), ordered by their end; whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    table = table.iloc[table["end"].astype(float).argsort(kind="stable")]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh:
        table.to_csv(fresh, index=False, compression="gzip" if path.suffix == ".gz" else None)


def _columns(path: Path, faults: Faults) -> Columns:
    start = beginning(path)
    if start[:4] in PCAP or start[:4] == PCAPNG:
        return capture.read(path, faults)
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"#separator", b"#fields")):
        return zeek.read_tsv(lines(path, faults), faults)
    if head.startswith(b"{"):
        return zeek.read_json(lines(path, faults), faults)
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    for writes, read_lines in ((argus.writes, argus.read), (cic.writes, cic.read), (unsw.writes, unsw.read)):
        if writes(first):
            return read_lines(lines(path, faults), faults)
    what = "is empty" if not start else "is of no kind that can be imported"
    raise FlowFileError(what, file=path, remedy=KINDS)
