"""The compiled pipeline in a real Open vSwitch: it goes in, comes back, and decides as the simulator says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from support.frames import frame, packets
from support.network import OUTSIDE_ADDRESSES, asking, ends, ip_packet, lengths, networks, rules_for
from support.openflow import Switch, bridge, trace
from support.policies import packets as packets_about
from support.policies import policies, transport

from policies.acl import Policy
from policies.entries import TableEntry
from policies.pipeline.compile import compile_urgent, compile_vfn, missing_ports
from policies.pipeline.measures import Meters, meters_of_nets
from policies.pipeline.tables import Table
from policies.pipeline.taps import PortMeters
from policies.rules import Action, FirewallRule, Mode, Protocol, Scope, SegmentationRule
from policies.simulate import Connection, Outcome, Packet, Simulator
from policies.translate import translate
from ryu_apps.wire.codec import WireCodec
from topology.addresses import link_local, mac_number
from topology.inventory import load, parse
from topology.model import Inventory

pytestmark = pytest.mark.ovs

CODEC = WireCodec()
ENTERPRISE = Path(__file__).parents[2] / "mininet_labs" / "enterprise" / "inventory.yaml"
NO_POLICY = Policy()
MOST_VMS = 100
MOST_PORTS = 20
MODES = (Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE)
PORTS = tuple(f"tw2p{number}" for number in range(1, 13))

SMALL = parse("""
segments: {web: {default: allow}, app: {default: allow}, db: {default: deny}}
vfns: {here: {dpid: 1}, there: {dpid: 2}}
links: [{a: here, a_port: up, b: there, b_port: down}]
vms:
  web1: {segment: web, vfn: here, port: p1, mac: "02:00:00:00:00:01", addresses: [10.0.0.1, "fd00::1"]}
  web2: {segment: web, vfn: here, port: p2, mac: "02:00:00:00:00:02", addresses: [10.0.0.2, "fd00::2"]}
  app1: {segment: app, vfn: here, port: p3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3, "fd00::3"]}
  db1: {segment: db, vfn: here, port: p4, mac: "02:00:00:00:00:04", addresses: [10.0.0.4, "fd00::4"]}
  bad1: {segment: web, vfn: here, port: p5, mac: "02:00:00:00:00:05", addresses: [10.0.0.5, "fd00::5"]}
  bad2: {segment: web, vfn: here, port: p6, mac: "02:00:00:00:00:06", addresses: [10.0.0.6, "fd00::6"]}
  far1: {segment: app, vfn: there, port: q1, mac: "02:00:00:00:00:11", addresses: [10.0.0.17, "fd00::11"]}
outside:
  gate: {vfn: here, port: p7, mac: "02:00:00:00:ff:01", addresses: [192.0.2.1]}
""")
"""One of everything on VFN `here`. Ports: p1..p7 are 1..7, the cable `up` is 8."""
SMALL_PORTS = {**{f"p{number}": number for number in range(1, 8)}, "up": 8}
SMALL_RULES = (
    SegmentationRule("00000000000a", Action.ISOLATE, "analyzer", 0.0, source_vm="bad1", scope=Scope.ALL),
    SegmentationRule("00000000000b", Action.ISOLATE, "analyzer", 0.0, source_vm="bad2", scope=Scope.OTHER_SEGMENTS),
    SegmentationRule(
        "00000000000c",
        Action.ALLOW,
        "anna",
        0.0,
        source_ip=ip_network("10.0.0.3"),
        destination_vm="db1",
        port=5432,
        protocol=Protocol.TCP,
    ),
    SegmentationRule("00000000000d", Action.DENY, "anna", 0.0, source_ip=ip_network("203.0.113.66")),
)
TCP_SYN = {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": 80, "tcp_flags": 2}


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A bridge with as many ports as any VFN here needs, and the meters of any VM and port here."""
    with bridge("tw2", PORTS) as switch:
        meters = [*range(1, MOST_VMS + 1), *(n for port in range(1, MOST_PORTS + 1) for n in PortMeters.of(port))]
        nets = {
            ip_network(f"{address}/{length}", strict=False)
            for address in OUTSIDE_ADDRESSES
            for length in lengths(address.max_prefixlen)
        }
        limits = [*map(Meters.of_port, range(1, MOST_PORTS + 1)), *meters_of_nets(nets).values()]
        meters += [number for limit in limits for number in (limit.sent, limit.received)]
        assert switch.send(CODEC.set_meters(dict.fromkeys(meters, 1000))).errors == ()
        yield switch


def compiled(
    inventory: Inventory, vfn: str, rules: Iterable[SegmentationRule], policy: Policy = NO_POLICY
) -> tuple[TableEntry, ...]:
    """A VFN whose ports are numbered in the order in which the compiler misses them."""
    ports = SMALL_PORTS if inventory is SMALL else numbered(inventory, vfn)
    return compile_vfn(inventory, vfn, ports, firewall(inventory, rules), policy)


def numbered(inventory: Inventory, vfn: str) -> dict[str, int]:
    """Port numbers from 1."""
    return {name: number for number, name in enumerate(missing_ports(inventory, vfn, {}), 1)}


def firewall(inventory: Inventory, rules: Iterable[SegmentationRule]) -> list[FirewallRule]:
    """What rules mean for all VFNs."""
    return [each for rule in rules for each in translate(rule, inventory)]


def reconcile(switch: Switch, content: Iterable[TableEntry]) -> None:
    """Bring the switch to exactly these entries, as the engine does, and see by reading back that it is there."""
    desired = {CODEC.cookie(entry): entry for entry in content}
    missing, foreign = CODEC.differences(desired, switch.entries())
    assert switch.transact(CODEC.change(missing, foreign, {}, 1)).errors == ()
    there = switch.entries()
    assert CODEC.differences(desired, there) == ({}, [])
    assert {entry.cookie for entry in there} == set(desired)
    wanted = sorted((entry.table, entry.priority, cookie) for cookie, entry in desired.items())
    assert sorted((entry.table, entry.priority, entry.cookie) for entry in there) == wanted


def test_enterprise_goes_in_and_comes_back(switch: Switch) -> None:
    """Every VFN of the lab, without rules and with one of each kind, reads back without a difference."""
    inventory = load(ENTERPRISE)
    rules = [
        replace(rule, source_vm=rule.source_vm and vm, destination_vm=rule.destination_vm and "db2")
        for rule, vm in zip(SMALL_RULES, ("web1", "web2", "", ""), strict=True)
    ]
    for vfn in inventory.vfns:
        for live in ([], rules):
            reconcile(switch, compiled(inventory, vfn, live))


def test_urgent_entries_are_part_of_the_whole(switch: Switch) -> None:
    """What is sent ahead for an isolation is exactly what the next compilation asks for, so nothing is sent twice."""
    reconcile(switch, compiled(SMALL, "here", ()))
    urgent = compile_urgent(SMALL, "here", SMALL_PORTS, firewall(SMALL, SMALL_RULES[:1]))
    assert switch.send(*map(CODEC.add, urgent)).errors == ()
    desired = {CODEC.cookie(entry): entry for entry in compiled(SMALL, "here", SMALL_RULES[:1])}
    missing, foreign = CODEC.differences(desired, switch.entries())
    assert {entry.table for entry in missing.values()} <= {Table.REVERSE, Table.FORWARD}
    assert foreign == []


def vm_packet(sender: str, source: str, receiver: str, target: str, transport: Packet = TCP_SYN) -> dict[str, int]:
    """An IP packet between two of the small network's ends."""
    by_name = {end.name: end for end in ends(SMALL)}
    return ip_packet(
        by_name[sender], ip_address(source), mac_number(by_name[receiver].mac), ip_address(target), transport
    )


def arp(sender: str, source: str, target: str) -> dict[str, int]:
    """A broadcast ARP request, or a multicast neighbour solicitation."""
    by_name = {end.name: end for end in ends(SMALL)}
    return asking(by_name[sender], ip_address(source), ip_address(target))


def advertisement(sender: str, source: str, target: str, mac: str) -> dict[str, int]:
    """A neighbour advertisement to app1: `target` is at `mac`."""
    fields = {"icmpv6_code": 0, "nd_target": int(ip_address(target)), "nd_tll": mac_number(mac)}
    return vm_packet(sender, source, "app1", "fd00::3", {"ip_proto": 58, "icmpv6_type": 136, **fields})


WEB1, APP1, DB1, BAD1, BAD2, GATE, UP = 1, 3, 4, 5, 6, 7, 8
MAC1, MAC2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
LOCAL1 = str(link_local(MAC1))
TO_DB = {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": 5432, "tcp_flags": 2}
FROM_DB = {"ip_proto": 6, "tcp_src": 5432, "tcp_dst": 50_000, "tcp_flags": 0x12}
BROADCAST = {"ip_proto": 17, "udp_src": 5000, "udp_dst": 5000}
EVERYBODY = 0xFFFFFFFFFFFF
FIRST_FRAGMENT = bytes((0, 0, 1, 0, 0, 0, 1))
"""The rest of a fragment header: offset 0, more to come."""
ROUTER = {"ip_proto": 58, "icmpv6_type": 134}
PADDING = bytes((0, 1, 4, 0, 0, 0, 0))
"""The rest of an 8-byte options header: its length, and PadN over 4 bytes (RFC 8200)."""

TABLE: Mapping[str, tuple[int, dict[str, int], tuple[int, ...]]] = {
    "allowed by default, IPv4": (WEB1, vm_packet("web1", "10.0.0.1", "app1", "10.0.0.3"), (APP1,)),
    "allowed by default, IPv6": (WEB1, vm_packet("web1", "fd00::1", "app1", "fd00::3"), (APP1,)),
    "link-local IPv6": (WEB1, vm_packet("web1", LOCAL1, "app1", "fd00::3"), (APP1,)),
    "to another VFN": (WEB1, vm_packet("web1", "10.0.0.1", "far1", "10.0.0.17"), (UP,)),
    "from another VFN": (UP, vm_packet("far1", "10.0.0.17", "web1", "10.0.0.1"), (WEB1,)),
    "to the outside": (WEB1, vm_packet("web1", "10.0.0.1", "gate", "192.0.2.1"), (GATE,)),
    "from the outside": (GATE, vm_packet("gate", "192.0.2.1", "web1", "10.0.0.1"), (WEB1,)),
    "ARP request finds its owner": (WEB1, arp("web1", "10.0.0.1", "10.0.0.3"), (APP1,)),
    "solicitation finds its owner": (WEB1, arp("web1", "fd00::1", "fd00::3"), (APP1,)),
    "own advertisement": (WEB1, advertisement("web1", "fd00::1", "fd00::1", MAC1), (APP1,)),
    "spoofed MAC": (WEB1, vm_packet("web2", "10.0.0.1", "app1", "10.0.0.3"), ()),
    "spoofed IPv4": (WEB1, vm_packet("web1", "10.0.0.2", "app1", "10.0.0.3"), ()),
    "spoofed outside IPv4": (WEB1, vm_packet("web1", "198.51.100.7", "app1", "10.0.0.3"), ()),
    "spoofed IPv6": (WEB1, vm_packet("web1", "fd00::2", "app1", "fd00::3"), ()),
    "spoofed ARP sender": (WEB1, arp("web1", "10.0.0.2", "10.0.0.3"), ()),
    "spoofed ARP hardware address": (WEB1, {**arp("web1", "10.0.0.1", "10.0.0.3"), "arp_sha": mac_number(MAC2)}, ()),
    "spoofed ND target": (WEB1, advertisement("web1", "fd00::1", "fd00::2", MAC1), ()),
    "spoofed ND link-layer address": (WEB1, advertisement("web1", "fd00::1", "fd00::1", MAC2), ()),
    "spoofed ND source": (WEB1, arp("web1", "fd00::2", "fd00::3"), ()),
    "router advertisement of a VM": (
        WEB1,
        vm_packet("web1", LOCAL1, "app1", "fd00::3", {**ROUTER, "icmpv6_code": 0}),
        (),
    ),
    "VLAN tag of a VM": (WEB1, {**vm_packet("web1", "10.0.0.1", "app1", "10.0.0.3"), "vlan_vid": 0x1005}, ()),
    "outside as a VM": (GATE, vm_packet("gate", "10.0.0.2", "web1", "10.0.0.1"), ()),
    "outside answers for a VM": (GATE, arp("gate", "10.0.0.2", "10.0.0.1"), ()),
    "isolated, IPv4 out": (BAD1, vm_packet("bad1", "10.0.0.5", "app1", "10.0.0.3"), ()),
    "isolated, own segment": (BAD1, vm_packet("bad1", "10.0.0.5", "web1", "10.0.0.1"), ()),
    "isolated, IPv6 out": (BAD1, vm_packet("bad1", "fd00::5", "app1", "fd00::3"), ()),
    "isolated, ARP out": (BAD1, arp("bad1", "10.0.0.5", "10.0.0.3"), ()),
    "isolated, any ethertype": (
        BAD1,
        {"eth_src": mac_number("02:00:00:00:00:05"), "eth_dst": EVERYBODY, "eth_type": 0x88CC},
        (),
    ),
    "isolated, IPv4 in": (WEB1, vm_packet("web1", "10.0.0.1", "bad1", "10.0.0.5"), ()),
    "isolated, IPv6 in": (WEB1, vm_packet("web1", "fd00::1", "bad1", "fd00::5"), ()),
    "isolated, ARP in": (WEB1, arp("web1", "10.0.0.1", "10.0.0.5"), ()),
    "isolated, solicitation in": (WEB1, arp("web1", "fd00::1", "fd00::5"), ()),
    "isolated, in from another VFN": (UP, vm_packet("far1", "10.0.0.17", "bad1", "10.0.0.5"), ()),
    "isolated from others, other segment": (BAD2, vm_packet("bad2", "10.0.0.6", "app1", "10.0.0.3"), ()),
    "isolated from others, outside": (BAD2, vm_packet("bad2", "10.0.0.6", "gate", "192.0.2.1"), ()),
    "isolated from others, IPv6": (BAD2, vm_packet("bad2", "fd00::6", "app1", "fd00::3"), ()),
    "isolated from others, own segment": (BAD2, vm_packet("bad2", "10.0.0.6", "web1", "10.0.0.1"), (WEB1,)),
    "isolated from others, ARP in own segment": (BAD2, arp("bad2", "10.0.0.6", "10.0.0.1"), (WEB1,)),
    "default deny": (WEB1, vm_packet("web1", "10.0.0.1", "db1", "10.0.0.4", TO_DB), ()),
    "default deny, IPv6": (WEB1, vm_packet("web1", "fd00::1", "db1", "fd00::4", TO_DB), ()),
    "default deny, ARP": (WEB1, arp("web1", "10.0.0.1", "10.0.0.4"), (DB1,)),
    "allowed into default deny": (APP1, vm_packet("app1", "10.0.0.3", "db1", "10.0.0.4", TO_DB), (DB1,)),
    "its reply": (DB1, vm_packet("db1", "10.0.0.4", "app1", "10.0.0.3", FROM_DB), (APP1,)),
    "allowed source, another port": (APP1, vm_packet("app1", "10.0.0.3", "db1", "10.0.0.4"), ()),
    "denied address": (GATE, vm_packet("gate", "203.0.113.66", "web1", "10.0.0.1"), ()),
    "to a denied address": (WEB1, vm_packet("web1", "10.0.0.1", "gate", "203.0.113.66"), ()),
    "broadcast": (
        WEB1,
        {**vm_packet("web1", "10.0.0.1", "app1", "10.0.0.255", BROADCAST), "eth_dst": EVERYBODY},
        (2, APP1, BAD2, GATE, UP),
    ),
    "unknown MAC": (WEB1, {**vm_packet("web1", "10.0.0.1", "app1", "10.0.0.3"), "eth_dst": 0x02000000EE01}, ()),
}


def test_switch_decides_as_the_table_says(switch: Switch) -> None:
    """Allowed, spoofed, isolated, denied and broadcast frames: simulator and switch both say what is right."""
    content = compiled(SMALL, "here", SMALL_RULES)
    reconcile(switch, content)
    simulator = Simulator(content)
    expected = {name: ports for name, (_, _, ports) in TABLE.items()}
    simulated = {name: run(simulator, port, packet) for name, (port, packet, _) in TABLE.items()}
    traced = {name: trace(switch, port, frame(packet)).ports for name, (port, packet, _) in TABLE.items()}
    assert simulated == expected
    assert traced == expected


def test_what_two_mirrors_copy_comes_once(switch: Switch) -> None:
    """Both ends mirrored to one inspection VM: simulator and switch send it one copy."""
    mirrors = [
        SegmentationRule(digit * 12, Action.STEER, "anna", 0.0, source_vm=vm, target="web2", mirror=True)
        for digit, vm in (("1", "web1"), ("2", "app1"))
    ]
    vms = {**SMALL.vms, "web2": replace(SMALL.vms["web2"], inspection=True)}
    inventory = replace(SMALL, vms=vms)
    content = compile_vfn(inventory, "here", SMALL_PORTS, firewall(inventory, mirrors), NO_POLICY)
    reconcile(switch, content)
    packet = vm_packet("web1", "10.0.0.1", "app1", "10.0.0.3")
    web2 = SMALL_PORTS["p2"]
    assert run(Simulator(content), WEB1, packet) == (web2, APP1)
    assert trace(switch, WEB1, frame(packet)).ports == (web2, APP1)


def crafted() -> dict[str, bytes]:
    """Forged frames of web1 in disguises that only a switch's parser can tell: all claim to be web2 or a router."""
    claim = frame(advertisement("web1", "fd00::1", "fd00::2", MAC1))
    honest = frame(advertisement("web1", "fd00::1", "fd00::1", MAC1))
    spoof = frame(vm_packet("web1", "10.0.0.2", "app1", "10.0.0.3"))
    router = frame(vm_packet("web1", LOCAL1, "app1", "fd00::3", {**ROUTER, "icmpv6_code": 0}))
    snap = bytes.fromhex("aaaa03000000")
    return {
        "advertisement behind a hop-by-hop header": _extended(claim, 0, PADDING),
        "advertisement behind destination options": _extended(claim, 60, PADDING),
        "advertisement in an atomic fragment": _extended(claim, 44, bytes(7)),
        "router advertisement in a first fragment": _extended(router, 44, FIRST_FRAGMENT),
        "solicitation in a first fragment": _extended(claim[:54] + b"\x87" + claim[55:], 44, FIRST_FRAGMENT),
        "advertisement with a second link-layer address": _longer(honest, bytes((2, 1)) + mac_number(MAC2).to_bytes(6)),
        "advertisement of code 1": claim[:55] + b"\x01" + claim[56:],
        "IPv4 in SNAP": spoof[:12] + (len(spoof) - 14 + 8).to_bytes(2, "big") + snap + spoof[12:],
        "IPv4 behind two VLAN tags": spoof[:12] + bytes.fromhex("88a8000581000006") + spoof[12:],
        "IPv4 with options": spoof[:14] + b"\x46" + spoof[15:34] + bytes((1, 1, 1, 0)) + spoof[34:],
    }


def _longer(packet: bytes, content: bytes) -> bytes:
    """An IPv6 frame with more content."""
    length = int.from_bytes(packet[18:20], "big") + len(content)
    return packet[:18] + length.to_bytes(2, "big") + packet[20:] + content


def _extended(packet: bytes, header: int, content: bytes) -> bytes:
    """An IPv6 frame with one 8-byte extension header before what it carries."""
    assert len(content) == 7
    length = int.from_bytes(packet[18:20], "big") + 8
    fixed = packet[:18] + length.to_bytes(2, "big") + bytes((header,)) + packet[21:54]
    return fixed + packet[20:21] + content + packet[54:]


def test_disguised_forgeries_do_not_pass(switch: Switch) -> None:
    """Extension headers, fragments, doubled options, SNAP and VLAN stacks do not carry a forgery past the guard."""
    reconcile(switch, compiled(SMALL, "here", ()))
    options = _extended(frame(vm_packet("web1", "fd00::1", "app1", "fd00::3")), 60, PADDING)
    assert trace(switch, WEB1, options).ports == (APP1,), "an honest packet with an extension header passes"
    frames = crafted()
    assert {name: trace(switch, WEB1, forged).ports for name, forged in frames.items()} == dict.fromkeys(frames, ())


def run(simulator: Simulator, in_port: int, packet: Packet) -> tuple[int, ...]:
    """The simulator's answer in the form of the switch's."""
    return tuple(sorted(simulator.run({**packet, "in_port": in_port}).ports))


ON_SWITCH = settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ON_SWITCH
@given(st.data())
def test_switch_decides_as_the_simulator(switch: Switch, data: st.DataObject) -> None:
    """In random networks under random rules, a real switch does with a frame what the simulator says."""
    inventory = data.draw(networks())
    rules = data.draw(rules_for(inventory, tuple(Action), modes=MODES))
    vfn = data.draw(st.sampled_from(list(inventory.vfns)))
    ports = numbered(inventory, vfn)
    content = compiled(inventory, vfn, rules)
    reconcile(switch, content)
    simulator = Simulator(content)
    for sender in ends(inventory):
        in_port = ports.get(sender.port) if sender.vfn == vfn else None
        for packet in data.draw(st.lists(packets(inventory, sender), min_size=4, max_size=4)):
            port = in_port or data.draw(st.sampled_from(list(ports.values()) or [12]))
            assert trace(switch, port, frame(packet)).ports == run(simulator, port, packet), (port, packet)


class Known(Collection[Connection]):
    """Whatever is asked for, its other direction is the connection that the switch keeps."""

    def __contains__(self, connection: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Connection]:
        return iter(())

    def __len__(self) -> int:
        return 0


FOUND: Mapping[str, Callable[[Simulator, Packet], Outcome]] = {
    "trk,new": lambda simulator, packet: simulator.run(packet),
    "trk,est,rpl": lambda simulator, packet: simulator.run(packet, Known()),
    "trk,rel,rpl": lambda simulator, packet: simulator.run(packet, related=True),
}
"""What connection tracking finds, as the switch and the simulator are told."""


@ON_SWITCH
@given(st.data())
def test_switch_goes_the_way_of_the_simulator_under_policies(switch: Switch, data: st.DataObject) -> None:
    """Under random policies a real switch meets the same entries of the same tables, whatever tracking finds."""
    inventory = data.draw(networks(plain=False))
    vfn = data.draw(st.sampled_from(list(inventory.vfns)))
    rules = data.draw(rules_for(inventory, tuple(Action), modes=MODES))
    content = compiled(inventory, vfn, rules, data.draw(policies(inventory)))
    reconcile(switch, content)
    simulator, ports = Simulator(content), numbered(inventory, vfn)
    assume(ports and len(ends(inventory)) > 1)
    for _ in range(4):
        sender, target, packet = data.draw(packets_about(inventory))
        assert packet.source_address is not None
        assert packet.destination_address is not None
        own = ports.get(sender.port) if sender.vfn == vfn else None
        port = own or data.draw(st.sampled_from(list(ports.values())))
        fields = ip_packet(
            sender, packet.source_address, mac_number(target.mac), packet.destination_address, transport(packet)
        )
        for found, ask in FOUND.items():
            said, does = ask(simulator, {**fields, "in_port": port}), trace(switch, port, frame(fields), found)
            way = tuple((entry.table, entry.priority) for entry in said.path)
            assert (does.ports, does.path) == (tuple(sorted(said.ports)), way), (port, fields, found)
