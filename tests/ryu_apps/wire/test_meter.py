"""Meter-mods, byte by byte what Ryu would have sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.ryu import DATAPATH, OFPROTO, PARSER, wire

from ryu_apps.wire import meter
from ryu_apps.wire.codec import WireCodec

numbers = st.integers(0, 0xFFFFFFFF)


@given(numbers, numbers, numbers)
def test_add_equals_ryu(rate: int, burst: int, xid: int) -> None:
    """Packets a second with a burst, dropped beyond."""
    flags = OFPROTO.OFPMF_PKTPS | OFPROTO.OFPMF_BURST
    bands = [PARSER.OFPMeterBandDrop(rate, burst)]
    expected = PARSER.OFPMeterMod(DATAPATH, OFPROTO.OFPMC_ADD, flags, OFPROTO.OFPM_CONTROLLER, bands)
    assert meter.add(rate, burst, xid) == wire(expected, xid)


@given(numbers)
def test_delete_equals_ryu(xid: int) -> None:
    """The controller's meter, not its neighbour that limits the slow path."""
    expected = PARSER.OFPMeterMod(DATAPATH, OFPROTO.OFPMC_DELETE, 0, OFPROTO.OFPM_CONTROLLER, [])
    assert meter.delete(xid) == wire(expected, xid)


def test_a_limit_is_set_anew() -> None:
    """Whatever was there goes first; a tenth of a second's copies may come at once, one at least."""
    assert WireCodec().limit_copies(1000) == meter.delete(1) + meter.add(1000, 100, 2)
    assert WireCodec().limit_copies(3) == meter.delete(1) + meter.add(3, 1, 2)
