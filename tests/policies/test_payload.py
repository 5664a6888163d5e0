"""Copies of payload in the pipeline: of whom, of what, and that nothing is lost or let through by them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.network import ends, ip_packet

from policies.entries import Output, Resubmit, TableEntry, ToController
from policies.pipeline.compile import Compiler, Network
from policies.pipeline.payload import MOST_BYTES, copied_port, whatever_copies
from policies.simulate import Simulator
from topology.addresses import mac_number
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: , shut: {default: deny, outward: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: up, b: v2, b_port: down}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  web2: {segment: web, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
    "  far1: {segment: web, vfn: v2, port: q1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "  shut1: {segment: shut, vfn: v1, port: p3, mac: '02:00:00:00:00:04', addresses: [10.0.0.4, 'fd00::4']}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1, '2001:db8::1']}}\n"
)
PORTS = {"v1": {"p1": 1, "p2": 2, "p3": 3, "o1": 4, "up": 5}, "v2": {"q1": 1, "down": 2}}
ADDRESSES = {
    "web1": ("10.0.0.1", "fd00::1"),
    "web2": ("10.0.0.2", "fd00::2"),
    "far1": ("10.0.0.3", "fd00::3"),
    "shut1": ("10.0.0.4", "fd00::4"),
    "gate": ("192.0.2.1", "2001:db8::1"),
}
CAME_IN = {"web1": 1, "web2": 2, "shut1": 3, "gate": 4, "far1": 5}
PUSH = {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": 80, "tcp_flags": 0x18}
ACK = {**PUSH, "tcp_flags": 0x10}
SYN = {**PUSH, "tcp_flags": 0x02}
DATAGRAM = {"ip_proto": 17, "udp_src": 50_000, "udp_dst": 80}


def compiled(*inspected: str) -> tuple[TableEntry, ...]:
    numbers = count()
    compiler = Compiler(lambda entries: tuple(islice(numbers, len(entries))))
    network = Network(INVENTORY, ports=PORTS, inspected=frozenset(inspected))
    return tuple(compiler.compile(network, "v1").values())


PLAIN, INSPECTING = Simulator(compiled()), Simulator(compiled("web1"))


def packet(source: str, target: str, version: int, transport: Mapping[str, int]) -> dict[str, int]:
    """What comes in at v1 from one end to another."""
    end = next(end for end in ends(INVENTORY) if end.name == source)
    mac = next(end.mac for end in ends(INVENTORY) if end.name == target)
    here, there = (ip_address(ADDRESSES[name][version]) for name in (source, target))
    return {**ip_packet(end, here, mac_number(mac), there, dict(transport)), "in_port": CAME_IN[source]}


def copies(sent: dict[str, int]) -> int:
    """How often v1 copies its payload."""
    steps = [step for entry in INSPECTING.run(sent).path for step in entry.steps]
    return sum(isinstance(step, ToController) and step.max_len == MOST_BYTES for step in steps)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("source", "target", "transport", "copied"),
    [
        ("web1", "web2", PUSH, 1),
        ("web2", "web1", PUSH, 1),
        ("far1", "web1", DATAGRAM, 1),
        ("gate", "web1", PUSH, 1),
        ("web1", "gate", DATAGRAM, 1),
        ("web1", "shut1", DATAGRAM, 1),  # what it says is its, whether anybody hears it or not
        ("shut1", "web1", DATAGRAM, 0),  # and what is denied it has not got
        ("web1", "web2", ACK, 0),
        ("web1", "web2", SYN, 0),
        ("web2", "far1", PUSH, 0),
        ("gate", "web2", DATAGRAM, 0),
    ],
)
def test_what_is_copied(source: str, target: str, transport: dict[str, int], copied: int, version: int) -> None:
    """Payload that the VM sends, and what is delivered to it; nobody else's."""
    assert copies(packet(source, target, version, transport)) == copied


@given(
    ends=st.permutations(sorted(ADDRESSES)).map(lambda names: names[:2]),
    version=st.sampled_from([0, 1]),
    transport=st.sampled_from([PUSH, ACK, SYN, DATAGRAM, {**DATAGRAM, "udp_dst": 53}, {**DATAGRAM, "udp_src": 53}]),
)
def test_copying_is_never_in_the_way(ends: list[str], version: int, transport: dict[str, int]) -> None:
    """A packet goes where it would go without; and whatever else is copied of it still is."""
    source, target = ends
    sent = packet(source, target, version, transport)
    plain, inspecting = PLAIN.run(sent), INSPECTING.run(sent)
    assert plain.ports == inspecting.ports

    def others(path: Any) -> list[ToController]:
        steps = [step for entry in path for step in entry.steps]
        return [step for step in steps if isinstance(step, ToController) and step.max_len != MOST_BYTES]

    assert others(inspecting.path) == others(plain.path)


@given(st.lists(st.frozensets(st.sampled_from(["web1", "web2", "shut1", "far1"])), min_size=1, max_size=6))
def test_a_compiler_that_remembers_finds_the_same(history: list[frozenset[str]]) -> None:
    """After any sequence of consents, at both VFNs; what does not change stays the same layers."""

    def cookies(entries: Any) -> tuple[int, ...]:
        return tuple(hash((entry.table, entry.priority, entry.match, entry.steps, entry.goto)) for entry in entries)

    remembering = Compiler(cookies)
    network = Network(INVENTORY, ports=PORTS)
    for inspected in history:
        network = Network(INVENTORY, network.policy, network.rules, PORTS, inspected=inspected)
        for vfn, ports in PORTS.items():
            fresh = Compiler(cookies).compile(network, vfn)
            known = remembering.compile(network, vfn)
            assert known == fresh
            vms = {vm.port: vm.name for vm in INVENTORY.vms.values() if vm.vfn == vfn}
            numbers = {number: vms.get(name) for name, number in ports.items()}
            found = {numbers[port] for entry in fresh.values() if (port := copied_port(entry)) is not None}
            assert found == {name for name in inspected if INVENTORY.vms[name].vfn == vfn}


def test_a_withdrawal_knows_all_that_copies() -> None:
    """Whatever the rules make of the way of packets: what the compiler makes is among what is taken out."""
    made = [entry for entry in compiled("web1") if copied_port(entry) == 1]
    assert len(made) == 8
    assert set(made) <= set(whatever_copies(INVENTORY.vms["web1"], 1))
    assert all(isinstance(entry.steps[1], Resubmit) for entry in made)
    assert sum(isinstance(step, Output) for entry in made for step in entry.steps) == 4
