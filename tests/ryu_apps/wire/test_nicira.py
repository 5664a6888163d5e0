"""Copies of ports onto themselves: the bytes are Ryu's, and the switch gives them back as they went."""

from __future__ import annotations

import pytest
from support.openflow import bridge
from support.ryu import PARSER, part

from policies.entries import Copy, TableEntry
from policies.pipeline.masks import PORTED, exact_ports
from policies.pipeline.tables import IPV6, match
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.nicira import encode_copy

NAMES = {name: f"{name}_nxm" for name in ("tcp_src", "tcp_dst", "udp_src", "udp_dst")}
"""Ryu's names of the fields as OpenFlow 1.0 knew them."""
STEPS = [step for protocol in PORTED for step in exact_ports(protocol)]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.source)
def test_copy_of_a_port_equals_ryu(step: Copy) -> None:
    """The action is the same bytes as Ryu's for that port."""
    name = NAMES.get(step.source, step.source)
    assert encode_copy(step) == part(PARSER.NXActionRegMove(name, name, 16))


@pytest.mark.ovs
def test_switch_gives_copies_of_ports_back() -> None:
    """An entry that makes ports exact is read back without a difference."""
    codec = WireCodec()
    matches = {protocol: match({"eth_type": IPV6, "ip_proto": protocol}) for protocol in PORTED}
    entries = [TableEntry(0, 1, fields, exact_ports(protocol), 1) for protocol, fields in matches.items()]
    desired = {codec.cookie(entry): entry for entry in entries}
    with bridge("gdw") as switch:
        assert switch.send(*map(codec.add, entries)).errors == ()
        there = switch.entries()
    assert len(there) == len(entries)
    assert codec.differences(desired, there) == ({}, [])
