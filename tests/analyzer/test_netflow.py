"""NetFlow v5: decoding, rubbish, sequence, clock."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.netflow import datagram

from analyzer.netflow import Sequences, decode


def test_fields_are_read_in_network_order() -> None:
    """Header and records mean what the format says; engine type and id are the VFN's number."""
    got = decode([datagram(2, src=0x0A000001, dst_port=443, packets=7, bytes=900, first=9000, last=9500, flags=18)])
    assert got.rubbish == 0
    assert got.records.vfn.tolist() == [0x103, 0x103]
    assert got.records.raw["src"].tolist() == [0x0A000001] * 2
    assert got.records.raw["dst_port"].tolist() == [443] * 2
    assert got.records.raw["packets"].tolist() == [7, 7]
    assert got.records.first.tolist() == [999.5, 999.5]
    assert got.records.last.tolist() == [1000.0, 1000.0]


def test_uptime_may_wrap_between_first_packet_and_export() -> None:
    """A record from before the wrap of the 32-bit uptime keeps its true age."""
    got = decode([datagram(uptime=500, first=2**32 - 500, last=400)])
    assert got.records.first.tolist() == [999.5]
    assert got.records.last.tolist() == [1000.4]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"\x00\x05",
        datagram()[:-1],
        datagram() + b"\x00",
        datagram(2)[:-48],
        struct.pack("!HH", 9, 1) + datagram()[4:],
        struct.pack("!HH", 5, 0) + datagram()[4:24],
        struct.pack("!HH", 5, 31) + bytes(20 + 31 * 48),
        datagram()[:12] + struct.pack("!I", 2**32 - 1) + datagram()[16:],
    ],
)
def test_rubbish_is_counted_and_harms_no_other(rubbish: bytes) -> None:
    """A datagram that is no NetFlow v5 is left out with a reason; its neighbours are read."""
    got = decode([datagram(src=1), rubbish, datagram(src=2)])
    assert got.rubbish == 1
    assert got.complaint
    assert got.records.raw["src"].tolist() == [1, 2]


NEARLY = st.binary(min_size=68, max_size=68).map(lambda rest: b"\0\5\0\1" + rest)


@given(st.lists(st.binary(max_size=200) | NEARLY, max_size=8))
def test_no_bytes_upset_the_decoder(datagrams: list[bytes]) -> None:
    """Whatever comes in, every datagram is either decoded or counted as rubbish, and times are numbers."""
    got = decode(datagrams)
    assert len(got.headers) + got.rubbish == len(datagrams)
    assert len(got.records) == got.headers["count"].sum()
    assert np.isfinite(got.records.first).all()


def test_gaps_are_loss_and_restarts_are_not() -> None:
    """The sequence is that of the last record; what is missing in between is counted for its VFN."""
    sequences = Sequences()
    sent = [datagram(3, 2), datagram(2, 4), datagram(4, 18), datagram(5, 9, engine=7)]
    again = [datagram(1, 0, uptime=100), datagram(1, 1, uptime=100), datagram(1, 3, uptime=100)]
    sequences.count(decode([*sent, *again]).headers)
    assert sequences.lost == {0x103: 10 + 1}


def test_what_comes_late_is_not_lost() -> None:
    """Datagrams that overtake each other lose nothing in the end; across the wraps of sequence and uptime, too."""
    sequences = Sequences()
    sent = [datagram(2, 2**32 - 3), datagram(2, 1), datagram(2, 2**32 - 1), datagram(2, 3)]
    sequences.count(decode(sent[:2]).headers)
    assert sequences.lost == {0x103: 2}
    sequences.count(decode(sent[2:]).headers)
    assert sequences.lost == {0x103: 0}
