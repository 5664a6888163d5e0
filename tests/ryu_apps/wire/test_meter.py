"""Meter-mods, byte by byte what Ryu would have sent."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.ryu import DATAPATH, OFPROTO, PARSER, wire

from policies.codec import COPIES_METER
from runtime.errors import TransientError
from ryu_apps.wire import meter
from ryu_apps.wire.codec import WireCodec

numbers = st.integers(0, 0xFFFFFFFF)
names = st.integers(1, 0xFFFF) | st.just(COPIES_METER)


def ryu_meter(command: int, number: int, rate: int, burst: int) -> Any:
    """An OFPMeterMod."""
    flags = OFPROTO.OFPMF_PKTPS | OFPROTO.OFPMF_BURST
    return PARSER.OFPMeterMod(DATAPATH, command, flags, number, [PARSER.OFPMeterBandDrop(rate, burst)])


@given(names, numbers, numbers)
def test_a_meter_equals_ryu(number: int, rate: int, xid: int) -> None:
    """Packets a second with a burst, dropped beyond; new or with another rate."""
    burst = meter.burst(number, rate)
    assert meter.add(number, rate, xid) == wire(ryu_meter(OFPROTO.OFPMC_ADD, number, rate, burst), xid)
    assert meter.modify(number, rate, xid) == wire(ryu_meter(OFPROTO.OFPMC_MODIFY, number, rate, burst), xid)


@given(names, numbers)
def test_delete_equals_ryu(number: int, xid: int) -> None:
    """A meter goes by its number alone."""
    expected = PARSER.OFPMeterMod(DATAPATH, OFPROTO.OFPMC_DELETE, 0, number, [])
    assert meter.delete(number, xid) == wire(expected, xid)


@given(numbers)
def test_request_equals_ryu(xid: int) -> None:
    """All meters are asked for."""
    assert meter.config_request(xid) == wire(PARSER.OFPMeterConfigStatsRequest(DATAPATH, 0, OFPROTO.OFPM_ALL), xid)


def test_a_second_may_come_at_once_of_copies_a_tenth() -> None:
    """One packet at least, whatever the rate."""
    assert [meter.burst(COPIES_METER, rate) for rate in (3, 10, 1000)] == [1, 1, 100]
    assert [meter.burst(7, rate) for rate in (3, 10, 1000)] == [3, 10, 1000]


def test_messages_are_numbered_apart() -> None:
    """What exists is modified, the rest added; each message has a transaction id of its own."""
    codec = WireCodec()
    assert codec.set_meters({7: 10, 8: 20}, there={8}) == meter.add(7, 10, 1) + meter.modify(8, 20, 2)
    assert codec.drop_meters([7, 8]) == meter.delete(7, 3) + meter.delete(8, 4)
    assert codec.read_meters() == meter.config_request(5)


@given(st.binary(max_size=64))
def test_rubbish_is_a_transient_error(raw: bytes) -> None:
    """Any bytes are either meters or a TransientError."""
    try:
        assert len(meter.decode_configs(raw)) <= len(raw) // 8
    except TransientError as error:
        assert "byte" in str(error)
