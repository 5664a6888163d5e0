"""Records count for the VM on the port where they came in."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import numpy as np
import pytest
from support.telemetry import inventory, ports

from analyzer.attribute import DROPPED_TO, Attribution
from analyzer.flows import NOBODY, Fate
from analyzer.netflow import RECORD, Records

NET = inventory()
WEB1, DB1 = NET.vms["web1"], NET.vms["db1"]
ADDRESS = {name: int(vm.addresses[0]) for name, vm in NET.vms.items()}


@pytest.fixture
def attribution() -> Attribution:
    """All ports of all VFNs are known."""
    made = Attribution(NET)
    for name, vfn in NET.vfns.items():
        assert made.set_ports(vfn.dpid, ports(NET, name))
    return made


Record = Callable[..., Records]


def record(vfn: str, port: str, source: int, target: int, **more: int) -> Records:
    """One record that came in at `port` (interface name) of `vfn`."""
    raw = np.zeros(1, RECORD)
    raw["input"], raw["src"], raw["dst"] = int(port.rsplit("eth", 1)[1]), source, target
    raw["proto"], raw["packets"] = 6, 1
    for name, value in more.items():
        raw[name] = value
    number = np.array([NET.vfns[vfn].number], np.int32)
    return Records(raw, number, np.array([10.0]), np.array([11.0]))


def test_vm_is_the_one_on_the_port(attribution: Attribution) -> None:
    """A record at web1's port with web1's address is web1's, towards the VM with the destination's address."""
    got = attribution.attribute(record(WEB1.vfn, WEB1.port, ADDRESS["web1"], ADDRESS["db1"]))
    side = got.sides[0]
    assert (side["src_vm"], side["dst_vm"], bool(side["spoofed"])) == (WEB1.number, DB1.number, False)


def test_transit_hops_are_dropped(attribution: Attribution) -> None:
    """The same flow seen at a link port, or at a port nobody is on, is not counted again."""
    for vfn, port in (("core", "core-eth1"), (DB1.vfn, f"{DB1.vfn}-eth1"), ("core", "core-eth99")):
        got = attribution.attribute(record(vfn, port, ADDRESS["web1"], ADDRESS["db1"]))
        assert (len(got.sides), got.transit) == (0, 1)


def test_forged_source_counts_against_the_port(attribution: Attribution) -> None:
    """web1 claims to be db1, or a stranger: web1 is marked, and db1 is not even mentioned as a source."""
    for claimed in (ADDRESS["db1"], int(IPv4Address("203.0.113.9"))):
        side = attribution.attribute(record(WEB1.vfn, WEB1.port, claimed, ADDRESS["app1"])).sides[0]
        assert (side["src_vm"], bool(side["spoofed"])) == (WEB1.number, True)


def test_what_an_inspection_vm_passes_on_is_no_forgery() -> None:
    """Its port is read as a cable: others' packets that come in there are counted where they first came in."""
    network = replace(NET, vms={**NET.vms, "web1": replace(WEB1, inspection=True)})
    attribution = Attribution(network)
    for name, vfn in NET.vfns.items():
        attribution.set_ports(vfn.dpid, ports(NET, name))
    got = attribution.attribute(record(WEB1.vfn, WEB1.port, ADDRESS["web2"], ADDRESS["db1"]))
    assert (len(got.sides), got.transit) == (0, 1)


def test_asking_for_an_address_is_no_forgery(attribution: Attribution) -> None:
    """DHCP from 0.0.0.0 port 68 is what a VM without an address does."""
    got = attribution.attribute(record(WEB1.vfn, WEB1.port, 0, 2**32 - 1, proto=17, src_port=68, dst_port=67))
    assert (bool(got.sides[0]["spoofed"]), got.sides[0]["dst_vm"]) == (False, NOBODY)


def test_outside_cannot_put_on_a_vms_address(attribution: Attribution) -> None:
    """What comes from outside under a VM's address counts for nobody; under its own it is the outside's."""
    forged = attribution.attribute(record("core", "core-eth5", ADDRESS["db1"], ADDRESS["web1"]))
    assert (len(forged.sides), forged.forged_outside) == (0, 1)
    honest = attribution.attribute(record("core", "core-eth5", int(IPv4Address("203.0.113.66")), ADDRESS["web1"]))
    assert (honest.sides[0]["src_vm"], bool(honest.sides[0]["spoofed"])) == (0, False)


def test_ports_may_change(attribution: Attribution) -> None:
    """After a port change the old OpenFlow port is nobody's; an unknown VFN is refused."""
    vfn = NET.vfns[WEB1.vfn]
    assert attribution.set_ports(vfn.dpid, {WEB1.port: 77})
    assert not attribution.set_ports(0xDEAD, {})
    assert len(attribution.attribute(record(WEB1.vfn, WEB1.port, ADDRESS["web1"], ADDRESS["db1"])).sides) == 0
    moved = record(WEB1.vfn, "moved-eth77", ADDRESS["web1"], ADDRESS["db1"])
    assert attribution.attribute(moved).sides["src_vm"].tolist() == [WEB1.number]


FORWARDED, DROPPED, DELIVERED, STOPPED = Fate.FORWARDED, Fate.DROPPED, Fate.DELIVERED, Fate.STOPPED


@pytest.mark.parametrize(
    ("output", "fate"),
    [(DROPPED_TO, DROPPED), (1, FORWARDED), (65534, FORWARDED), (2, FORWARDED | DELIVERED)],
    ids=["nowhere", "cable", "everybody", "a VM"],
)
def test_where_packets_went_is_their_fate(attribution: Attribution, output: int, fate: int) -> None:
    """What its VFN did with what a VM sent: nowhere, on, or out at another VM's port."""
    got = attribution.attribute(record(WEB1.vfn, WEB1.port, ADDRESS["web1"], ADDRESS["db1"], output=output))
    assert got.sides["fate"].tolist() == [int(fate)]


@pytest.mark.parametrize(("output", "fate"), [(DROPPED_TO, STOPPED), (2, DELIVERED), (1, None), (99, None)])
def test_behind_a_cable_only_the_end_of_the_way_counts(attribution: Attribution, output: int, fate: int | None) -> None:
    """Dropped, or handed over: told beside the sides, which it adds nothing to. What goes on says nothing."""
    got = attribution.attribute(record(DB1.vfn, f"{DB1.vfn}-eth1", ADDRESS["web1"], ADDRESS["db1"], output=output))
    assert (len(got.sides), got.transit) == (0, 1)
    assert got.beyond["fate"].tolist() == ([] if fate is None else [int(fate)])


@pytest.mark.parametrize(("kind", "answers"), [(8, False), (0, True), (3, True), (11, True), (13, False)])
def test_icmp_that_answers_is_known_by_its_type(attribution: Attribution, kind: int, answers: bool) -> None:
    """Of a reply or error that its own direction denies nobody can tell whether it passed."""
    fields = {"proto": 1, "dst_port": kind << 8, "output": DROPPED_TO}
    (side,) = attribution.attribute(record(WEB1.vfn, WEB1.port, ADDRESS["web1"], ADDRESS["db1"], **fields)).sides
    assert bool(side["answers"]) == answers
    assert side["fate"] == (0 if answers else DROPPED)
    assert (side["src_port"], side["dst_port"]) == (0, 0)


def test_own_and_spoofed_sides_are_told_apart(attribution: Attribution) -> None:
    """Every side is in one of the two."""
    honest = record(WEB1.vfn, WEB1.port, ADDRESS["web1"], ADDRESS["db1"])
    forged = record(WEB1.vfn, WEB1.port, ADDRESS["app1"], ADDRESS["db1"])
    raw, *others = (np.concatenate(pair) for pair in zip(_columns(honest), _columns(forged), strict=True))
    both = Records(raw.astype(RECORD), *others)  # big-endian again, which joining does not keep
    got = attribution.attribute(both)
    assert (len(got.own), len(got.spoofed), len(got.sides)) == (1, 1, 2)


def _columns(records: Records) -> tuple[np.ndarray, ...]:
    return records.raw, records.vfn, records.first, records.last
