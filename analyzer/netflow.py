"""NetFlow v5 from the VFNs: decoding whole bursts of datagrams as arrays.

Format: Cisco "NetFlow Export Datagram Formats", version 5: a header of 24 bytes, then up to 30 records of 48 bytes,
all big-endian. Two things are Open vSwitch's own (ofproto/netflow.c): with an active timeout the counters of a record
are what came since the last record of that flow, and the header's sequence is that of its *last* record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analyzer.flows import Array, Bool

HEADER = np.dtype(
    [
        ("version", ">u2"),
        ("count", ">u2"),
        ("uptime", ">u4"),
        ("seconds", ">u4"),
        ("nanoseconds", ">u4"),
        ("sequence", ">u4"),
        ("engine", ">u2"),  # engine type and id: the VFN's number
        ("sampling", ">u2"),
    ]
)
RECORD = np.dtype(
    [
        ("src", ">u4"),
        ("dst", ">u4"),
        ("next_hop", ">u4"),
        ("input", ">u2"),
        ("output", ">u2"),
        ("packets", ">u4"),
        ("bytes", ">u4"),
        ("first", ">u4"),  # exporter's uptime, ms
        ("last", ">u4"),
        ("src_port", ">u2"),
        ("dst_port", ">u2"),
        ("pad", "u1"),
        ("flags", "u1"),
        ("proto", "u1"),
        ("tos", "u1"),
        ("src_as", ">u2"),
        ("dst_as", ">u2"),
        ("src_mask", "u1"),
        ("dst_mask", "u1"),
        ("pad2", ">u2"),
    ]
)
MOST_RECORDS = 30
SLOT_BYTES = HEADER.itemsize + MOST_RECORDS * RECORD.itemsize + 8
"""Room for the largest datagram, and a little more: so what is too large is seen to be."""
MOST_GAP = 2**20
"""A sequence that is further ahead says that the exporter is another one, not how much was lost."""
_MOST_DRIFT_MS = 500
"""An exporter says more differently when it was started only if it was started anew, or its clock was set."""
_WRAP = 2**32
_SLOT = np.dtype([("header", HEADER), ("records", "V48", (MOST_RECORDS,)), ("beyond", "V8")])


@dataclass(frozen=True)
class Records:
    """Decoded records: `raw` of dtype RECORD, with VFN numbers and epoch seconds beside it."""

    raw: Array
    vfn: Array
    """int32, engine type << 8 | engine id."""
    first: Array
    """float64 epoch seconds."""
    last: Array

    def __len__(self) -> int:
        return len(self.raw)

    def until(self, latest: float) -> Records:
        """Without records of packets later than `latest` (epoch seconds)."""
        known = self.last <= latest
        return self if known.all() else self.select(known)

    def select(self, chosen: Bool) -> Records:
        """Some of them."""
        return Records(self.raw[chosen], self.vfn[chosen], self.first[chosen], self.last[chosen])

    def shifted(self, seconds: Array) -> Records:
        """The same, so much later each."""
        return Records(self.raw, self.vfn, self.first + seconds, self.last + seconds)


@dataclass(frozen=True)
class Decoded:
    """A burst of datagrams: its records, its headers, and how many datagrams were no NetFlow v5."""

    records: Records
    headers: Array
    rubbish: int
    complaint: str = ""
    """Why the first rubbish datagram was refused."""
    good: Bool = field(default_factory=lambda: np.zeros(0, bool))
    """Which datagrams have headers here."""


def decode(datagrams: list[bytes]) -> Decoded:
    """Decode datagrams; what is not NetFlow v5 of a right length is counted and left out."""
    slots = np.zeros((len(datagrams), SLOT_BYTES), np.uint8)
    for slot, datagram in zip(slots, datagrams, strict=True):
        start = datagram[:SLOT_BYTES]
        slot[: len(start)] = np.frombuffer(start, np.uint8)
    return decode_slots(slots, np.array([len(datagram) for datagram in datagrams], np.int64))


def decode_slots(slots: Array, lengths: Array) -> Decoded:
    """Decode datagrams that lie in the rows of an array.

    Args:
        slots: uint8 (datagrams, `SLOT_BYTES`), contiguous; what is beyond a datagram's length is not looked at.
        lengths: bytes of each datagram; more than `SLOT_BYTES` where it was cut off.
    """
    rows = slots.view(_SLOT)[:, 0]
    faults = _faults(rows["header"], lengths)
    wrong = np.any(list(faults.values()), axis=0) if len(rows) else np.zeros(0, bool)
    complaint = ""
    if wrong.any():
        worst = int(np.argmax(wrong))
        kind = next(kind for kind, found in faults.items() if found[worst])
        complaint = _complaint(kind, rows["header"][worst], int(lengths[worst]))
        rows = rows[~wrong]
    headers = rows["header"].copy()
    counts = headers["count"].astype(np.int64)
    raw = rows["records"][np.arange(MOST_RECORDS) < counts[:, None]].view(RECORD)
    sent = headers["seconds"].astype(np.float64) + headers["nanoseconds"] / 1e9
    of = np.repeat(np.arange(len(headers)), counts)
    sent, uptime = sent[of], headers["uptime"].astype(np.uint32)[of]
    records = Records(
        raw,
        headers["engine"].astype(np.int32)[of],
        _epoch(sent, uptime, raw["first"]),
        _epoch(sent, uptime, raw["last"]),
    )
    return Decoded(records, headers, int(wrong.sum()), complaint, ~wrong)


def words(raw: Array) -> Array:
    """Records (dtype RECORD) as 32-bit words in this machine's order, (records, 12)."""
    return np.ascontiguousarray(raw).view(">u4").astype(np.uint32).reshape(-1, RECORD.itemsize // 4)


def _faults(headers: Array, lengths: Array) -> dict[str, Bool]:
    """Which datagrams have what wrong; of several faults the first counts."""
    counts = headers["count"]
    return {
        "short": lengths < HEADER.itemsize,
        "version": headers["version"] != 5,
        "count": (counts < 1) | (counts > MOST_RECORDS),
        "length": lengths != HEADER.itemsize + counts.astype(np.int64) * RECORD.itemsize,
        "nanoseconds": headers["nanoseconds"] >= 1_000_000_000,
    }


def _complaint(kind: str, header: Array, length: int) -> str:
    return {
        "short": f"{length} bytes are less than a header",
        "version": f"version {header['version']}, not 5",
        "count": f"{header['count']} records, not 1..{MOST_RECORDS}",
        "length": f"{length} bytes for {header['count']} records",
        "nanoseconds": "nanoseconds beyond a second",
    }[kind]


def _epoch(sent: Array, uptime: Array, moment: Array) -> Array:
    """Epoch seconds of uptime milliseconds; the 32-bit uptime wraps after 49.7 days, a difference does not."""
    ago = (uptime.astype(np.uint32) - moment.astype(np.uint32)).astype(np.int32)
    return sent - ago / 1000.0


class Sequences:
    """Counts records that the network lost, by gaps in each VFN's sequence."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}
        self.lost: dict[int, int] = {}

    def count(self, headers: Array) -> None:
        """Take note of headers in order of arrival.

        What comes late was counted as lost, and is not any more. An exporter that was started anew begins anew.
        """
        clock = headers["seconds"].astype(np.int64) * 1000 + headers["nanoseconds"] // 1_000_000
        booted = (clock - headers["uptime"]) % _WRAP  # the uptime, 32 bits of ms, wraps
        columns = [headers[name].tolist() for name in ("engine", "sequence", "count")]
        for engine, sequence, records, boot in zip(*columns, booted.tolist(), strict=True):
            last, before = self._last.get(engine, (None, 0))
            same = min((boot - before) % _WRAP, (before - boot) % _WRAP) <= _MOST_DRIFT_MS
            if last is not None and same:
                gap = (sequence - records - last) % _WRAP
                if 0 < gap < MOST_GAP:
                    self.lost[engine] = self.lost.get(engine, 0) + gap
                elif (last - sequence) % _WRAP < MOST_GAP:
                    if engine in self.lost:
                        self.lost[engine] = max(0, self.lost[engine] - records)
                    continue
            self._last[engine] = sequence, boot
