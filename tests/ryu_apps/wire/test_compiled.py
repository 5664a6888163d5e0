"""Whatever the compiler makes of a network is the same bytes as Ryu's, and comes back from the switch as it went."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import networks, rules_for
from support.openflow import bridge
from support.policies import policies
from support.ryu import ryu_flow_mod, wire

from policies.entries import Copy, Output, Resubmit, Sample, SetField, TableEntry, ToController, Track
from policies.pipeline.compile import compile_vfn, missing_ports
from policies.pipeline.dump import example
from policies.translate import translate
from ryu_apps.wire import flowmod
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.content import cookie, installed

CODEC = WireCodec()
RANDOM = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def ryus(entry: TableEntry) -> bytes:
    """The message that adds an entry, as Ryu writes it."""
    return wire(ryu_flow_mod(entry, cookie(entry)), 7)


@st.composite
def compiled(draw: st.DrawFn) -> list[TableEntry]:
    """The entries of every VFN of a random network with random rules and policy."""
    inventory = draw(networks(plain=False))
    policy = draw(policies(inventory))
    firewall = [rule for intent in draw(rules_for(inventory)) for rule in translate(intent, inventory)]
    numbered = {vfn: {name: n for n, name in enumerate(missing_ports(inventory, vfn, {}), 1)} for vfn in inventory.vfns}
    return [entry for vfn, ports in numbered.items() for entry in compile_vfn(inventory, vfn, ports, firewall, policy)]


@RANDOM
@given(compiled())
def test_compiled_entries_equal_ryu(entries: list[TableEntry]) -> None:
    """Every entry of every table of random networks."""
    for entry in entries:
        assert flowmod.add(entry, cookie(entry), 7) == ryus(entry)


def test_the_examples_entries_equal_ryu() -> None:
    """The example of docs/pipeline.md has every kind of step, and a meter."""
    entries = example()
    assert {type(step) for entry in entries for step in entry.steps} == {
        SetField, Output, ToController, Copy, Track, Resubmit, Sample,
    }  # fmt: skip
    assert any(entry.meter is not None for entry in entries)
    assert [flowmod.add(entry, cookie(entry), 7) for entry in entries] == list(map(ryus, entries))


@pytest.mark.ovs
def test_the_examples_entries_read_back() -> None:
    """The switch gives every entry back byte by byte, in the order of fields that needs no sorting."""
    desired = {cookie(entry): entry for entry in example()}
    with bridge("tw4", ["tw4p1", "tw4p2", "tw4p3"]) as switch:
        meters = {meter: 1000 for entry in desired.values() for meter in entry.meters}
        assert switch.send(CODEC.set_meters(meters)).errors == ()
        assert switch.transact(CODEC.change(desired, (), {}, 1)).errors == ()
        there = switch.entries()
        assert sorted(one[:5] for one in there) == sorted(installed(entry)[:5] for entry in desired.values())
        assert CODEC.differences(desired, there) == ({}, [])
        assert switch.transact(CODEC.change({}, (), desired, 2)).errors == ()
        assert switch.entries() == []
