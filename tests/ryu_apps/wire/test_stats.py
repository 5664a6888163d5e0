"""Flow statistics: decoded as Ryu decodes them, rubbish refused, and never slow."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.entries import entries
from support.ryu import PARSER, part

from policies.codec import InstalledEntry
from policies.entries import Field, TableEntry
from runtime.arrays import COUNTER
from runtime.errors import TransientError
from ryu_apps.wire.content import installed
from ryu_apps.wire.oxm import pack_match, unpack_match
from ryu_apps.wire.stats import decode_counters, decode_entries

u64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
Row = tuple[TableEntry, int, int, int]
"""entry, cookie, packets, bytes"""
rows = st.lists(st.tuples(entries(), u64, u64, u64), max_size=5)


def body(content: list[Row]) -> bytes:
    """The statistics as a switch sends them (OpenFlow 1.3.5, 7.3.5.2)."""
    return b"".join(map(_stats, content))


def _stats(row: Row) -> bytes:
    entry, cookie, packets, octets = row
    there = installed(entry)
    tail = pack_match(there.match) + there.instructions
    fixed = (48 + len(tail), entry.table, 1, 2, entry.priority, 3, 4, 5, cookie, packets, octets)
    return struct.pack("!HBxIIHHHH4xQQQ", *fixed) + tail


def ryus(raw: bytes) -> list[Any]:
    """What Ryu reads in the same bytes."""
    offset, found = 0, []
    while offset < len(raw):
        found.append(PARSER.OFPFlowStats.parser(raw, offset))
        offset += found[-1].length
    return found


def _oxms(match: Any) -> bytes:
    packed = part(match)
    return unpack_match(packed, 0, len(packed))[0]


@given(rows)
def test_counters_are_ryus(content: list[Row]) -> None:
    """Cookie, packets, bytes and table of each entry, in order, whatever lengths the entries have."""
    raw = body(content)
    counters = decode_counters(raw)
    assert counters.dtype == COUNTER
    assert counters.tolist() == [
        (stats.cookie, stats.packet_count, stats.byte_count, stats.table_id) for stats in ryus(raw)
    ]


@given(rows)
def test_entries_are_ryus(content: list[Row]) -> None:
    """Every entry comes back with its priority, match and instructions."""
    raw = body(content)
    assert [entry._replace(vouched=False) for entry in decode_entries(raw)] == [
        InstalledEntry(
            stats.table_id,
            stats.priority,
            stats.cookie,
            _oxms(stats.match),
            b"".join(map(part, stats.instructions)),
            stats.packet_count,
            stats.byte_count,
        )
        for stats in ryus(raw)
    ]


@given(entries(), entries())
def test_only_what_is_what_its_cookie_says_is_vouched_for(entry: TableEntry, other: TableEntry) -> None:
    """Under another entry's cookie nothing is."""
    own, foreign = installed(entry).cookie, installed(other).cookie
    vouched = [one.vouched for one in decode_entries(body([(entry, own, 0, 0), (entry, foreign, 0, 0)]))]
    assert vouched == [True, own == foreign]


def test_counter_is_packed_little_endian() -> None:
    """The dtype that travels to the analyzer is 25 bytes, whatever the machine."""
    assert COUNTER.itemsize == 25
    assert np.array([(1, 2, 3, 4)], COUNTER).tobytes() == b"".join(n.to_bytes(8, "little") for n in (1, 2, 3)) + b"\x04"


@given(st.binary(min_size=1, max_size=300))
def test_rubbish_is_a_transient_error(raw: bytes) -> None:
    """Any bytes are either statistics or a TransientError, for both decoders."""
    for decode in (decode_counters, decode_entries):
        try:
            assert len(decode(raw)) <= len(raw) // 56
        except TransientError as error:
            assert "byte" in str(error)


@given(rows.filter(bool), st.data())
def test_broken_statistics_are_a_transient_error(content: list[Row], data: st.DataObject) -> None:
    """A cut reply is refused; a reply with changed bytes is decoded or refused, never a crash."""
    raw = body(content)
    cut = raw[: -data.draw(st.integers(1, 55))]
    for decode in (decode_counters, decode_entries):
        with pytest.raises(TransientError):
            decode(cut)
    broken = bytearray(raw)
    for _ in range(3):
        broken[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for decode in (decode_counters, decode_entries):
        try:
            assert len(decode(bytes(broken))) <= len(raw) // 56
        except TransientError as error:
            assert "byte" in str(error)


def test_a_full_part_of_mixed_entries_takes_less_than_20_ms() -> None:
    """64 KB of entries whose lengths alternate stay within the control process's budget."""
    short = (TableEntry(6, 1, ()), 1, 2, 3)
    long = (TableEntry(6, 1, (Field("eth_type", 0x86DD), Field("ipv6_src", 1)), goto=7), 1, 2, 3)
    pair = body([short, long])
    raw = pair * (65_519 // len(pair))
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        counters = decode_counters(raw)
        seconds.append(time.perf_counter() - begin)
    assert len(counters) == 2 * (65_519 // len(pair))
    assert min(seconds) < 0.020
