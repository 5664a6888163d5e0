"""Recorded flows from CSV files, gzipped or not, into flow batches. A wrong cell is named by file, line, column.

Columns: start, end, duration, proto, src_ip, src_port, dst_ip, dst_port, src_pkts, dst_pkts, src_bytes, dst_bytes,
syn, fin, rst, ack, psh, app; times are epoch seconds, the flag columns are counts or empty. `app`, `duration` and
columns that are not listed are not read.
"""

from __future__ import annotations

import io
import re
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from analyzer.flows import (
    ACK,
    FIN,
    ICMP,
    ICMP6,
    NO_IP,
    NOBODY,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    Array,
    Bool,
    FlowBatch,
    FlowState,
    address_halves,
    is_group,
    is_v4,
)  # fmt: skip
from analyzer.keytable import mix
from analyzer.pair import refused
from analyzer.site import SEGMENT, FlowFileError, Site

GZIP = b"\x1f\x8b"
"""How gzipped files begin, whatever they are called."""
AMOUNTS = ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")
FLAGS = {"syn": SYN, "fin": FIN, "rst": RST, "ack": ACK, "psh": PSH}
NEEDED = ("start", "end", "proto", "src_ip", "src_port", "dst_ip", "dst_port", *AMOUNTS, *FLAGS)
PROTOCOLS = {
    "tcp": TCP, "udp": UDP, "icmp": ICMP, "ipv6-icmp": ICMP6, "icmpv6": ICMP6, "sctp": SCTP,
    "igmp": 2, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "pim": 103, "vrrp": 112,
}  # fmt: skip
WELL_KNOWN = 1024
EPHEMERAL = 32768
"""From here on systems take ports for their clients (Linux; RFC 6335 has them begin at 49152)."""
TALK = 3
"""Packets either way: more than a probe without SYN and its refusal."""
LARGEST = 2**53


def read(path: Path, site: Site) -> FlowBatch:
    """All flows of a file, one row each, in the file's order.

    Raises:
        FlowFileError: unreadable, a column missing, or a cell that is wrong.
    """
    return parse(path, cells(path), site)


def parse(path: Path, table: pd.DataFrame, site: Site) -> FlowBatch:
    """The flows of a table whose cells are text; `path` is where complaints point.

    Raises:
        FlowFileError: a cell that is wrong.
    """
    count = len(table)
    batch = FlowBatch.empty(count)
    rows = batch.rows
    rows["start"], rows["end"] = _numbers(path, table, "start", -1e12, 1e12), _numbers(path, table, "end", -1e12, 1e12)
    backwards = rows["end"] < rows["start"]
    if backwards.any():
        _refuse(path, int(backwards.argmax()), "end", "is before start")
    for name in AMOUNTS:
        rows[name] = _numbers(path, table, name, 0, LARGEST).astype(np.uint64)
    # Exporters that count the packets of both directions together leave this empty: where bytes came, a packet did.
    rows["dst_pkts"] = np.maximum(rows["dst_pkts"], rows["dst_bytes"] > 0)
    for name in ("src_port", "dst_port"):
        rows[name] = _numbers(path, table, name, 0, 65535).astype(np.uint16)
    rows["proto"] = _protocols(path, table)
    counts = {name: _numbers(path, table, name, 0, LARGEST) for name in FLAGS}
    for name, bit in FLAGS.items():
        rows["flags"] |= np.where(counts[name] > 0, bit, 0).astype(np.uint8)
    ported = (rows["proto"] == TCP) | (rows["proto"] == UDP) | (rows["proto"] == SCTP)
    for name in ("src_port", "dst_port"):
        rows[name][~ported] = 0
    _addresses(path, table, site, rows)
    _orient(rows, (table["ack"] != "").to_numpy())
    rows["state"] = _state(rows)
    rows["vfn"], rows["port"] = -1, -1
    return batch


def cells(path: Path) -> pd.DataFrame:
    """All cells of a file, as text.

    Raises:
        FlowFileError: unreadable, or a column is missing.
    """
    try:
        content = path.read_bytes()  # once: it may be a pipe
        packed: Literal["gzip"] | None = "gzip" if content.startswith(GZIP) else None
        table = _well_formed(content, packed)
        if table is None:
            table = pd.read_csv(
                io.BytesIO(content), dtype=str, keep_default_na=False, index_col=False, compression=packed
            )
    except pd.errors.ParserError as error:
        at = re.search(r"line (\d+)", str(error))
        line = int(at[1]) if at else None
        raise FlowFileError(f"not a table: {str(error).strip()}", file=path, line=line) from error
    except (OSError, EOFError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise FlowFileError(f"cannot be read: {error}", file=path) from error
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        remedy = f"it needs {', '.join(NEEDED)}; `dynseg import` makes such files of what others record"
        raise FlowFileError(f"has no column {', '.join(missing)}", file=path, line=1, remedy=remedy)
    return table


def _well_formed(content: bytes, packed: Literal["gzip"] | None) -> pd.DataFrame | None:
    """The same by a faster reader, of a file with nothing odd in it; None: ask the one that copes and complains."""

    def stream() -> pa.NativeFile:
        return pa.input_stream(pa.py_buffer(content), compression=packed)

    try:
        with csv.open_csv(stream()) as reader:
            names = reader.schema.names
        options = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        table = csv.read_csv(stream(), convert_options=options)
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table.to_pandas() if len(set(names)) == len(names) else None


def _refuse(path: Path, row: int, column: str, message: str) -> None:
    raise FlowFileError(message, file=path, line=row + 2, key=column)


def _numbers(path: Path, table: pd.DataFrame, column: str, low: float, high: float) -> Array:
    """A column of numbers; empty cells are 0 except for times."""
    text = pa.array(table[column], pa.string())
    if column not in ("start", "end"):
        text = pc.if_else(pc.equal(text, ""), "0", text)
    try:
        values: Array = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # it is stricter than it has to be, and does not say where
        values = np.asarray(pd.to_numeric(text.to_pandas(), errors="coerce"), np.float64)
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        at = int(wrong.argmax())
        _refuse(path, at, column, f"{table[column].iloc[at][:40]!r} is no number between {low:g} and {high:g}")
    return values


def _protocols(path: Path, table: pd.DataFrame) -> Array:
    """IANA numbers; names that are no IP protocol become NO_IP."""
    codes, names = pd.factorize(table["proto"].str.lower())
    numbers = [int(n) if n.isdecimal() and int(n) < 255 else PROTOCOLS.get(n, NO_IP) for n in names]
    if (table["proto"] == "").any():
        _refuse(path, int((table["proto"] == "").to_numpy().argmax()), "proto", "is empty")
    return np.array(numbers, np.uint8)[codes] if numbers else np.zeros(0, np.uint8)


def _addresses(path: Path, table: pd.DataFrame, site: Site, rows: Array) -> None:
    """Fill addresses, VM and segment numbers."""
    count = len(rows)
    codes, names = pd.factorize(pd.concat([table["src_ip"], table["dst_ip"]], ignore_index=True))
    halves = np.zeros((len(names), 2), np.uint64)
    for i, name in enumerate(names.tolist()):
        try:
            halves[i] = address_halves(name)
        except ValueError:
            at = int((codes == i).argmax())
            _refuse(path, at % count, "src_ip" if at < count else "dst_ip", f"{name[:60]!r} is no address")
    high, low = halves.T
    inside = site.inside(high, low)
    group = is_group(high, low) | (inside & is_v4(high, low) & (low & np.uint64(255) == 255))
    segment = np.where(group, NOBODY, np.where(inside, SEGMENT, 0))
    vm = np.zeros(len(names), np.int32)
    senders = codes[:count]
    answers = codes[count:]
    for i in dict.fromkeys(np.stack([senders, answers], axis=1).ravel().tolist()):  # in order of appearance
        vm[i] = NOBODY if group[i] else site.number(int(high[i]), int(low[i])) if inside[i] else 0
    for end, code in (("src", senders), ("dst", answers)):
        rows[f"{end}_hi"], rows[f"{end}_lo"] = halves[code, 0], halves[code, 1]
        rows[f"{end}_vm"], rows[f"{end}_segment"] = vm[code], segment[code]


def _orient(rows: Array, acks_known: Bool) -> None:
    """Turn flows round that were recorded from the answering side: exporters that missed the start do that.

    A TCP row without a SYN goes on with what the first row of the same ends began; where that has none either, and is
    a talk, the one at a client's port began it. Exporters that know no ports put the ends into some order of their own:
    where one end alone has sent, it was that one's doing.
    """
    tcp = rows["proto"] == TCP
    opened = tcp & (rows["flags"] & SYN != 0) & (rows["flags"] & ACK == 0) & acks_known
    from_service = (rows["src_port"] > 0) & (rows["src_port"] < WELL_KNOWN) & (rows["dst_port"] >= WELL_KNOWN)
    portless = (tcp | (rows["proto"] == UDP)) & (rows["src_port"] == 0) & (rows["dst_port"] == 0)
    going_on = tcp & ~portless & (rows["flags"] & SYN == 0) & acks_known
    talk = np.minimum(rows["src_pkts"], rows["dst_pkts"]) >= TALK
    to_client = going_on & talk & (rows["src_port"] < EPHEMERAL) & (rows["dst_port"] >= EPHEMERAL)
    by_one = portless & (rows["src_pkts"] == 0) & (rows["dst_pkts"] > 0)
    turned = (from_service & ~opened) | to_client | by_one
    ends = [mix(0, *(rows[f"{end}_{name}"] for name in ("hi", "lo", "port"))) for end in ("src", "dst")]
    _, first, group = np.unique(mix(0, ends[0] ^ ends[1], rows["proto"]), return_index=True, return_inverse=True)
    begun = first[group]
    middle = going_on & (rows["flags"][begun] & SYN != 0)
    turned = np.where(middle, turned[begun] ^ (ends[0][begun] != ends[0]), turned)
    for name in ("hi", "lo", "port", "pkts", "bytes", "vm", "segment"):
        source = rows[f"src_{name}"][turned].copy()
        rows[f"src_{name}"][turned] = rows[f"dst_{name}"][turned]
        rows[f"dst_{name}"][turned] = source


def _state(rows: Array) -> Array:
    """Every row is a whole connection; the ones nobody answered, or that were refused, have failed."""
    tcp = rows["proto"] == TCP
    sent = rows["src_pkts"] > 0
    reset = refused(rows["flags"], rows["src_pkts"], rows["dst_pkts"], rows["src_bytes"])
    failed = tcp & ((rows["dst_pkts"] == 0) | reset)
    state = np.where(sent, FlowState.NEW, FlowState.ANSWERED_ONLY) | np.where(failed & sent, FlowState.FAILED, 0)
    return (state | FlowState.FINAL).astype(np.uint8)
