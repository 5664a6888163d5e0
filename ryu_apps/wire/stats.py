"""Flow statistics as raw bytes (OpenFlow 1.3 specification 7.3.5.2, `ofp_flow_stats`).

`decode_counters` runs in the control process and must stay far below 20 ms for one part of a reply (64 KB);
`decode_entries` runs in the engine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from policies.codec import InstalledEntry
from runtime.arrays import COUNTER
from runtime.errors import TransientError
from ryu_apps.wire import multipart
from ryu_apps.wire.content import is_intact
from ryu_apps.wire.flowmod import ALL_TABLES, TYPE_MULTIPART_REQUEST, message
from ryu_apps.wire.oxm import pack_match, unpack_match

_REQUEST = struct.Struct("!B3xII4xQQ")
"""table, out port, out group, cookie, cookie mask"""
_ANY = 0xFFFFFFFF
_FIXED = struct.Struct("!HBxIIHHHH4xQQQ")
"""length, table, seconds, nanoseconds, priority, idle timeout, hard timeout, flags, cookie, packets, bytes"""
_SMALLEST = _FIXED.size + 8
_LENGTH = struct.Struct("!H")
_WIRE = np.dtype(
    {
        "names": ["table", "cookie", "packets", "bytes"],
        "formats": ["u1", ">u8", ">u8", ">u8"],
        "offsets": [2, 24, 32, 40],
        "itemsize": _FIXED.size,
    }
)


def request(xid: int, table: int = ALL_TABLES, cookie: int = 0, mask: int = 0) -> bytes:
    """Multipart request of flow statistics, by table, by cookie under a mask."""
    asked = _REQUEST.pack(table, _ANY, _ANY, cookie, mask) + pack_match(b"")
    return message(TYPE_MULTIPART_REQUEST, xid, multipart.head(multipart.FLOW) + asked)


def decode_counters(raw: bytes) -> npt.NDArray[np.void]:
    """Counters of every entry of a flow statistics body, dtype `COUNTER`, shape (entries,).

    Raises:
        TransientError: the bytes are not flow statistics.
    """
    starts = np.fromiter((start for start, _ in _walk(raw)), dtype=np.intp)
    octets = np.frombuffer(raw, dtype=np.uint8)
    heads = octets[starts[:, np.newaxis] + np.arange(_FIXED.size)].view(_WIRE)[:, 0]
    counters = np.empty(len(starts), dtype=COUNTER)
    for name in ("cookie", "packets", "bytes", "table"):
        counters[name] = heads[name]
    return counters


def decode_entries(raw: bytes) -> list[InstalledEntry]:
    """Every entry of a flow statistics body, looked at part by part: of a whole switch at once it would be felt.

    Raises:
        TransientError: the bytes are not flow statistics.
    """
    return [_entry(raw, start, end) for start, end in _walk(raw)]


def _walk(raw: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each entry."""
    start, size, length_at = 0, len(raw), _LENGTH.unpack_from
    while start < size:
        length = length_at(raw, start)[0] if start + _SMALLEST <= size else 0
        end = start + length
        if length < _SMALLEST or length % 8 or end > size:
            raise TransientError(f"no flow statistics at byte {start} of {size}: an entry of length {length}")
        yield start, end
        start = end


def _entry(raw: bytes, start: int, end: int) -> InstalledEntry:
    _, table, _, _, priority, _, _, _, cookie, packets, octets = _FIXED.unpack_from(raw, start)
    match, after = unpack_match(raw, start + _FIXED.size, end)
    entry = InstalledEntry(table, priority, cookie, match, raw[after:end], packets, octets)
    return entry._replace(vouched=True) if is_intact(entry) else entry
