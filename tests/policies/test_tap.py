"""Table 1: what is copied, and that nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from support.network import ends, ip_packet

from policies.entries import ToController
from policies.pipeline.compile import compile_vfn
from policies.pipeline.tables import Table
from policies.simulate import Simulator
from topology.addresses import mac_number
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: up, b: v2, b_port: down}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  db1: {segment: db, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
    "  far1: {segment: db, vfn: v2, port: q1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1, '2001:db8::1']}}\n"
)
PORTS = {"p1": 1, "p2": 2, "o1": 3, "up": 4}
ENTRIES = compile_vfn(INVENTORY, "v1", PORTS, ())
UNTAPPED = [replace(entry, steps=()) if entry.table == Table.TAP else entry for entry in ENTRIES]
CONNECTING = {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": 80}


def packet(sender: str, source: str, target: str, port: int, **transport: int) -> dict[str, int]:
    """A packet to db1 that comes in at a port."""
    end = next(end for end in ends(INVENTORY) if end.name == sender)
    made = ip_packet(end, ip_address(source), mac_number("02:00:00:00:00:02"), ip_address(target), transport)
    return {**made, "in_port": port}


SYN = {**CONNECTING, "tcp_flags": 0x02}
CASES = [
    (packet("web1", "10.0.0.1", "10.0.0.2", 1, **SYN), True),
    (packet("web1", "fd00::1", "fd00::2", 1, **SYN), True),
    (packet("gate", "192.0.2.1", "10.0.0.2", 3, **SYN), True),
    (packet("web1", "10.0.0.1", "10.0.0.2", 1, **{**SYN, "tcp_flags": 0xC2}), True),
    (packet("web1", "10.0.0.1", "10.0.0.2", 1, **{**SYN, "tcp_flags": 0x12}), False),
    (packet("web1", "10.0.0.1", "10.0.0.2", 1, **{**SYN, "tcp_flags": 0x10}), False),
    (packet("web1", "10.0.0.1", "10.0.0.2", 1, ip_proto=17, udp_src=50_000, udp_dst=80), False),
    (packet("far1", "10.0.0.3", "10.0.0.2", 4, **SYN), False),
]


@pytest.mark.parametrize(("sent", "copied"), CASES)
def test_opening_packets_are_copied_where_they_enter(sent: dict[str, int], copied: bool) -> None:
    """SYNs at VM and outside ports, over both IPs; no answers, no other protocol, nothing that is in transit."""
    path = Simulator(ENTRIES).run(sent).path
    assert any(isinstance(step, ToController) for entry in path for step in entry.steps) == copied


@pytest.mark.parametrize("sent", [sent for sent, _ in CASES])
def test_copying_is_never_in_the_way(sent: dict[str, int]) -> None:
    """A packet leaves by the same port whether it is copied or not."""
    assert Simulator(ENTRIES).run(sent).ports == Simulator(UNTAPPED).run(sent).ports == (2,)


def test_who_lies_about_itself_is_not_copied() -> None:
    """What the guard drops never reaches the tap."""
    forged = packet("web1", "10.0.0.3", "10.0.0.2", 1, **SYN)
    assert all(entry.table == Table.GUARD for entry in Simulator(ENTRIES).run(forged).path)
