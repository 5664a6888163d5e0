"""The archive's columns, and flows as Arrow tables. docs/archive.md says what each column means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analyzer.archive.decisions import Decided, Decision
from analyzer.flows import F8, I8, NOBODY, Array, FlowState, address_text, is_v4
from analyzer.ledger import Parts
from analyzer.names import PROTOCOLS
from topology.model import OUTSIDE, Inventory

NO_VFN = "-"
"""Partition of flows whose VFN is not known; no VFN can be called that."""
_NAME = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("start", _TIME),
        ("end", _TIME),
        ("opened", _TIME),
        ("part", pa.uint16()),
        ("proto", _NAME),
        ("src_ip", pa.string()),
        ("src_port", pa.uint16()),
        ("dst_ip", pa.string()),
        ("dst_port", pa.uint16()),
        ("src_vm", _NAME),
        ("dst_vm", _NAME),
        ("src_segment", _NAME),
        ("dst_segment", _NAME),
        ("src_pkts", pa.uint64()),
        ("dst_pkts", pa.uint64()),
        ("src_bytes", pa.uint64()),
        ("dst_bytes", pa.uint64()),
        ("flags", pa.uint8()),
        ("failed", pa.bool_()),
        ("spoofed", pa.bool_()),
        ("decision", _NAME),
        ("rule", _NAME),
        ("risk", pa.float32()),
        ("score", pa.float32()),
        ("behaviour", _NAME),
        ("reasons", pa.list_(pa.string())),
    ]
)
_PAIRS = pa.array([f"{number >> 8}.{number & 255}" for number in range(1 << 16)])
"""Two octets of an IPv4 address as text."""


@dataclass(frozen=True)
class Note:
    """What was thought of a flow."""

    behaviour: str
    """Name of the strongest behaviour of its initiator's verdict, or `unusual`."""
    reasons: tuple[str, ...]
    """Strongest first."""


@dataclass(frozen=True)
class Judged:
    """Flows, or parts of flows, ready for the record."""

    parts: Parts
    decided: Decided
    score: F8
    """0..100."""
    note: I8
    """Index in `notes`; -1: there is nothing to say."""
    notes: Sequence[Note]

    def __len__(self) -> int:
        return len(self.parts)


class Encoder:
    """Makes tables of judged flows; knows the names behind the numbers."""

    def __init__(self, inventory: Inventory) -> None:
        segments = {segment.number: segment.name for segment in inventory.segments.values()}
        vfns = {vfn.number: vfn.name for vfn in inventory.vfns.values()}
        vms = {vm.number: vm.name for vm in inventory.vms.values()}
        self._vms = _by_number(vms)
        self._segments = _by_number({0: OUTSIDE, **segments})
        self._protocols = pa.array([PROTOCOLS.get(number, str(number)) for number in range(256)])
        self._vfn_of_vm = np.full(max(vms, default=0) + 1, NOBODY, np.int64)
        for vm in inventory.vms.values():
            self._vfn_of_vm[vm.number] = inventory.vfns[vm.vfn].number
        self._vfns = {NOBODY: NO_VFN, **vfns}

    def split(self, judged: Judged) -> dict[tuple[str, str], pa.Table]:
        """Tables (`SCHEMA`) by the hour of their flows' end ("2027-01-15T08", UTC) and VFN."""
        rows = judged.parts.rows
        if not len(rows):
            return {}
        hour, vfn = np.floor(rows["end"] / 3600).astype(np.int64), self._vfn(rows)
        key = hour << 32 | vfn + 1
        table = self.table(judged)
        if (key == key[0]).all():
            return {self._place(int(hour[0]), int(vfn[0])): table}
        order = np.argsort(key, kind="stable")
        edges = np.r_[0, np.flatnonzero(np.diff(key[order])) + 1, len(key)]
        table = table.take(pa.array(order))
        return {
            self._place(int(hour[order[a]]), int(vfn[order[a]])): table.slice(a, b - a)
            for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        }

    def table(self, judged: Judged) -> pa.Table:
        """All rows as one table."""
        rows, decided = judged.parts.rows, judged.decided
        sources, targets = _addresses(rows)
        behaviours = pa.array([note.behaviour for note in judged.notes], pa.string())
        reasons = pa.array([list(note.reasons) for note in judged.notes], pa.list_(pa.string()))
        columns = {
            "start": _times(rows["start"]),
            "end": _times(rows["end"]),
            "opened": _times(judged.parts.opened),
            "part": pa.array(judged.parts.number),
            "proto": _named(rows["proto"], self._protocols),
            "src_ip": sources,
            "dst_ip": targets,
            "src_vm": _named(np.where(rows["src_vm"] > 0, rows["src_vm"], NOBODY), self._vms),
            "dst_vm": _named(np.where(rows["dst_vm"] > 0, rows["dst_vm"], NOBODY), self._vms),
            "src_segment": _named(rows["src_segment"], self._segments),
            "dst_segment": _named(rows["dst_segment"], self._segments),
            "failed": pa.array(rows["state"] & FlowState.FAILED != 0),
            "spoofed": pa.array(rows["state"] & FlowState.SPOOFED != 0),
            "decision": _named(decided.decision, _DECISIONS),
            "rule": _named(decided.rule, pa.array(decided.rules, pa.string())),
            "score": pa.array(judged.score.astype(np.float32)),
            "behaviour": _named(judged.note, behaviours),
            "reasons": reasons.take(_indices(judged.note)),
        }
        plain = {name: pa.array(np.ascontiguousarray(rows[name])) for name in SCHEMA.names if name not in columns}
        return pa.table({name: columns.get(name, plain.get(name)) for name in SCHEMA.names}, schema=SCHEMA)

    def _vfn(self, rows: Array) -> I8:
        """Number of the VFN that is primary for each flow: where its initiator's packets came in, else its answers."""
        answering = self._vfn_of_vm[np.where(rows["dst_vm"] > 0, rows["dst_vm"], 0)]
        return np.where(rows["vfn"] >= 0, rows["vfn"], answering)

    def _place(self, hour: int, vfn: int) -> tuple[str, str]:
        return hour_name(hour * 3600.0), self._vfns.get(vfn, NO_VFN)


def hour_name(time: float) -> str:
    """The hour that a moment (epoch seconds) lies in, as in "2027-01-15T08" (UTC)."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H")


_DECISIONS = pa.array([decision.name.lower() for decision in Decision])


def _by_number(names: dict[int, str]) -> pa.Array:
    return pa.array([names.get(number, "") for number in range(max(names, default=0) + 1)], pa.string())


def _times(epoch: Array) -> pa.Array:
    return pa.array(np.round(epoch * 1e6).astype(np.int64), pa.int64()).cast(_TIME)


def _indices(numbers: Array) -> pa.Array:
    """As indices, negative ones as nulls."""
    numbers = numbers.astype(np.int32)
    return pa.array(numbers, mask=numbers < 0)


def _named(numbers: Array, names: pa.Array) -> pa.Array:
    """Numbers as the names that stand at them; null where negative or beyond all names."""
    numbers = np.where(numbers < len(names), numbers.astype(np.int64), -1)
    return pa.DictionaryArray.from_arrays(_indices(numbers), names)


def _addresses(rows: Array) -> tuple[pa.Array, pa.Array]:
    """Source and destination addresses as text."""
    high = np.concatenate([rows["src_hi"], rows["dst_hi"]])
    low = np.concatenate([rows["src_lo"], rows["dst_lo"]])
    if not high.any():
        unique, index = np.unique(low, return_inverse=True)
        texts = _texts(np.zeros(len(unique), np.uint64), unique)
    else:
        pairs, index = np.unique(np.column_stack([high, low]), axis=0, return_inverse=True)
        texts = _texts(pairs[:, 0], pairs[:, 1])
    sources, targets = np.split(index, 2)
    return texts.take(pa.array(sources)), texts.take(pa.array(targets))


def _texts(high: Array, low: Array) -> pa.Array:
    """Addresses as text; IPv4 all at once."""
    v4 = is_v4(high, low)
    upper = _PAIRS.take(pa.array((low >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.int32)))
    lower = _PAIRS.take(pa.array((low & np.uint64(0xFFFF)).astype(np.int32)))
    texts = pc.binary_join_element_wise(upper, lower, ".")
    if v4.all():
        return texts
    others = [address_text(*pair) for pair in zip(high[~v4].tolist(), low[~v4].tolist(), strict=True)]
    return pc.replace_with_mask(texts, pa.array(~v4), pa.array(others, pa.string()))
