"""Copies of payload as bytes: Ryu's, the switch's, and out again by one message an entry."""

from __future__ import annotations

import pytest
from support.openflow import bridge
from support.ryu import ryu_flow_mod, wire

from policies.pipeline.payload import payload_of, whatever_copies
from policies.pipeline.tables import Table, go
from ryu_apps.wire import flowmod
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.content import cookie
from topology.inventory import parse

CODEC = WireCodec()
VM = parse(
    "segments: {web: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
).vms["web1"]


def test_copies_equal_ryu() -> None:
    """Each of them."""
    for entry in payload_of(VM, 1, Table.SOURCE):
        assert flowmod.add(entry, cookie(entry), 7) == wire(ryu_flow_mod(entry, cookie(entry)), 7)


@pytest.mark.ovs
def test_copies_come_back_as_they_went_and_leave_alone() -> None:
    """Read back whole; a removal takes out just them, also when some of those that it names are not there."""
    copies = {cookie(entry): entry for entry in payload_of(VM, 1, Table.SOURCE)}
    other = go(Table.TAP, 0, {}, Table.SOURCE)
    with bridge("tw6", ["tw6p1"]) as switch:
        meters = {meter: 100 for entry in copies.values() for meter in entry.meters}
        assert switch.send(CODEC.set_meters(meters)).errors == ()
        desired = {**copies, cookie(other): other}
        assert switch.transact(CODEC.change(desired, (), {}, 1)).errors == ()
        assert CODEC.differences(desired, switch.entries()) == ({}, [])
        assert switch.send(CODEC.remove({cookie(e): e for e in whatever_copies(VM, 1)})).errors == ()
        assert [entry.cookie for entry in switch.entries()] == [cookie(other)]
