"""The guard of a real Open vSwitch with real frames: what is forged, or isolated, reaches nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

import pytest
from support.network import asking, ends, ip_packet
from support.openflow import Switch, bridge
from support.wires import EVERYBODY, Wires, wire, wired
from support.wires import install as put

from policies.pipeline.compile import compile_vfn
from policies.rules import Action, Scope, SegmentationRule
from policies.simulate import Packet
from policies.translate import translate
from topology.addresses import link_local, mac_number
from topology.inventory import parse

pytestmark = pytest.mark.ovs

INVENTORY = parse("""
segments: {web: {default: allow}, app: {default: allow}}
vfns: {here: {dpid: 1}}
links: []
vms:
  liar: {segment: web, vfn: here, port: gdg1, mac: "02:00:00:00:00:01", addresses: [10.0.0.1, "fd00::1"]}
  mate: {segment: web, vfn: here, port: gdg2, mac: "02:00:00:00:00:02", addresses: [10.0.0.2, "fd00::2"]}
  app1: {segment: app, vfn: here, port: gdg3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3, "fd00::3"]}
outside:
  gate: {vfn: here, port: gdg4, mac: "02:00:00:00:ff:01", addresses: [192.0.2.1, "2001:db8::1"]}
""")
PORTS = {f"gdg{number}": number for number in range(1, 5)}
ENDS = {end.name: end for end in ends(INVENTORY)}
CUT = SegmentationRule("00000000000a", Action.ISOLATE, "analyzer", 0.0, source_vm="liar", scope=Scope.ALL)

LIAR, MATE, GATE = (ENDS[name].mac for name in ("liar", "mate", "gate"))
LOCAL = str(link_local(LIAR))
UDP: Packet = {"ip_proto": 17, "udp_src": 5000, "udp_dst": 5001}
UNKNOWN_ETHERTYPE = 0x88B5
"""IEEE 802 local experimental."""


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A bridge with a port for each end."""
    with bridge("gdg", tuple(PORTS)) as switch:
        yield switch


@pytest.fixture(scope="module")
def wires(switch: Switch) -> Iterator[Wires]:
    """All ends."""
    with wired(ENDS.values(), ENDS["mate"]) as wires:
        yield wires


def install(switch: Switch, *rules: SegmentationRule) -> None:
    """The switch does what these rules ask for."""
    firewall = [each for rule in rules for each in translate(rule, INVENTORY)]
    put(switch, compile_vfn(INVENTORY, "here", PORTS, firewall))


def packet(sender: str, source: str, receiver: str, target: str, transport: Packet = UDP) -> dict[str, int]:
    """An IP packet between two ends."""
    return ip_packet(ENDS[sender], ip_address(source), mac_number(ENDS[receiver].mac), ip_address(target), transport)


def neighbour(sender: str, source: str, kind: int, **fields: int) -> dict[str, int]:
    """A neighbour discovery message to app1."""
    message = {"ip_proto": 58, "icmpv6_type": kind, "icmpv6_code": 0, **fields}
    return packet(sender, source, "app1", "fd00::3", message)


def arp(sender: str, source: str, target: str, **fields: int) -> dict[str, int]:
    """A question to all for an address."""
    return {**asking(ENDS[sender], ip_address(source), ip_address(target)), **fields}


def number(address: str) -> int:
    """An address as a match field."""
    return int(ip_address(address))


HONEST: Mapping[str, tuple[str, Packet]] = {
    "IPv4": ("liar", packet("liar", "10.0.0.1", "app1", "10.0.0.3")),
    "IPv6": ("liar", packet("liar", "fd00::1", "app1", "fd00::3")),
    "ARP": ("liar", arp("liar", "10.0.0.1", "10.0.0.3")),
    "ND solicitation": ("liar", arp("liar", "fd00::1", "fd00::3")),
    "ND advertisement": (
        "liar",
        neighbour("liar", "fd00::1", 136, nd_target=number("fd00::1"), nd_tll=mac_number(LIAR)),
    ),
    "IPv4 from outside": ("gate", packet("gate", "192.0.2.1", "app1", "10.0.0.3")),
    "IPv6 from outside": ("gate", packet("gate", "2001:db8::1", "app1", "fd00::3")),
    "router advertisement from outside": ("gate", neighbour("gate", str(link_local(GATE)), 134)),
}
"""Frames that look like the forged ones and must arrive: else that none arrives would say nothing."""

FORGED: Mapping[str, tuple[str, Packet]] = {
    "MAC": ("liar", packet("mate", "10.0.0.1", "app1", "10.0.0.3")),
    "MAC of a stranger": ("liar", {**packet("liar", "10.0.0.1", "app1", "10.0.0.3"), "eth_src": 0x02000000EE01}),
    "IPv4": ("liar", packet("liar", "10.0.0.2", "app1", "10.0.0.3")),
    "IPv4 of outside": ("liar", packet("liar", "198.51.100.7", "app1", "10.0.0.3")),
    "IPv6": ("liar", packet("liar", "fd00::2", "app1", "fd00::3")),
    "IPv6 link-local of another MAC": ("liar", packet("liar", str(link_local(MATE)), "app1", "fd00::3")),
    "ARP sender": ("liar", arp("liar", "10.0.0.2", "10.0.0.3")),
    "ARP hardware address": ("liar", arp("liar", "10.0.0.1", "10.0.0.3", arp_sha=mac_number(MATE))),
    "ARP reply for another": ("liar", arp("liar", "10.0.0.2", "10.0.0.3", arp_op=2)),
    "ARP probe for another's address": ("liar", arp("liar", "0.0.0.0", "10.0.0.2")),
    "NS source": ("liar", neighbour("liar", "fd00::2", 135, nd_target=number("fd00::3"), nd_sll=mac_number(LIAR))),
    "NS link-layer address": (
        "liar",
        neighbour("liar", "fd00::1", 135, nd_target=number("fd00::3"), nd_sll=mac_number(MATE)),
    ),
    "NS that claims another's address": ("liar", neighbour("liar", "::", 135, nd_target=number("fd00::3"))),
    "NA target": ("liar", neighbour("liar", "fd00::1", 136, nd_target=number("fd00::2"), nd_tll=mac_number(LIAR))),
    "NA link-layer address": (
        "liar",
        neighbour("liar", "fd00::1", 136, nd_target=number("fd00::1"), nd_tll=mac_number(MATE)),
    ),
    "router advertisement": ("liar", neighbour("liar", LOCAL, 134)),
    "redirect": ("liar", neighbour("liar", LOCAL, 137)),
    "VLAN tag": ("liar", {**packet("liar", "10.0.0.1", "app1", "10.0.0.3"), "vlan_vid": 0x1005}),
    "unknown ethertype": (
        "liar",
        {"eth_src": mac_number(LIAR), "eth_dst": mac_number(ENDS["app1"].mac), "eth_type": UNKNOWN_ETHERTYPE},
    ),
    "MAC of a VM from outside": ("gate", packet("mate", "192.0.2.1", "app1", "10.0.0.3")),
    "IPv4 of a VM from outside": ("gate", packet("gate", "10.0.0.2", "app1", "10.0.0.3")),
    "IPv6 of a VM from outside": ("gate", packet("gate", "fd00::2", "app1", "fd00::3")),
    "ARP for a VM from outside": ("gate", arp("gate", "10.0.0.2", "10.0.0.3")),
    "ARP probe for a VM's address from outside": ("gate", arp("gate", "0.0.0.0", "10.0.0.3")),
    "NS in a VM's name from outside": (
        "gate",
        neighbour("gate", "fd00::2", 135, nd_target=number("fd00::3"), nd_sll=mac_number(GATE)),
    ),
    "NS that claims a VM's address from outside": (
        "gate",
        neighbour("gate", "::", 135, nd_target=number("fd00::3")),
    ),
    "NA for a VM from outside": (
        "gate",
        neighbour("gate", "2001:db8::1", 136, nd_target=number("fd00::2"), nd_tll=mac_number(GATE)),
    ),
    "VLAN tag from outside": ("gate", {**packet("gate", "192.0.2.1", "app1", "10.0.0.3"), "vlan_vid": 0x1005}),
}


def delivered(wires: Wires, cases: Mapping[str, tuple[str, Packet]]) -> dict[str, set[str]]:
    """Who received the frame of each case."""
    found = {}
    for name, (sender, fields) in cases.items():
        (reached,) = wires.reached(sender, [wire(fields)]).values()
        found[name] = reached
    return found


def test_honest_frames_arrive(switch: Switch, wires: Wires) -> None:
    """Each kind of frame arrives at its receiver, and only there, when it is honest."""
    install(switch)
    assert {name: who for name, who in delivered(wires, HONEST).items() if who != {"app1"}} == {}


def test_forged_frames_reach_nobody(switch: Switch, wires: Wires) -> None:
    """No frame in another's name arrives anywhere, whether a VM sends it or the outside."""
    install(switch)
    assert {name: who for name, who in delivered(wires, FORGED).items() if who} == {}


OTHER_ETHERTYPES = (UNKNOWN_ETHERTYPE, 0x88CC, 0x8847, 0x86DD, 0x0806, 0x0800, 0x8100, 0x88A8)


def test_isolated_vm_is_cut_for_every_ethertype(switch: Switch, wires: Wires) -> None:
    """Nothing leaves or reaches an isolated VM: no ethertype, tag, length field or group, known or not."""
    install(switch, CUT)
    kinds = [kind.to_bytes(2, "big") + bytes(46) for kind in (*OTHER_ETHERTYPES, 46)]
    away = [target + mac_number(LIAR).to_bytes(6, "big") + kind for kind in kinds for target in _targets(MATE)]
    home = [mac_number(LIAR).to_bytes(6, "big") + mac_number(MATE).to_bytes(6, "big") + kind for kind in kinds]
    honest = [wire(fields) for sender, fields in HONEST.values() if sender == "liar"]
    answers = [
        wire(packet("mate", "10.0.0.2", "liar", "10.0.0.1")),
        wire(packet("mate", "fd00::2", "liar", "fd00::1")),
        wire(arp("mate", "10.0.0.2", "10.0.0.1")),
        wire(arp("mate", "fd00::2", "fd00::1")),
    ]
    for sender, frames in (("liar", [*away, *honest]), ("mate", [*home, *answers])):
        reached = wires.reached(sender, frames)
        assert len(reached) == len(set(frames))
        assert {sent.hex(): who for sent, who in reached.items() if who} == {}


def _targets(mac: str) -> tuple[bytes, ...]:
    """A VM, everybody, and a group."""
    return mac_number(mac).to_bytes(6, "big"), EVERYBODY.to_bytes(6, "big"), bytes.fromhex("333300000001")
