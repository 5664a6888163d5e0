"""Whole networks in memory: inventories and rules from hypothesis, VFNs simulated and joined by their cables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from policies.acl import Policy
from policies.codec import FIRST_LIMIT
from policies.pipeline.compile import compile_vfn, missing_ports
from policies.pipeline.tables import Table
from policies.rules import Action, Mode, Peer, Protocol, Scope, SegmentationRule
from policies.simulate import Connection, Packet, Simulator
from policies.translate import translate
from runtime.errors import PolicyError
from topology.addresses import addresses_of, mac_number
from topology.inventory import parse
from topology.model import Address, Inventory, OutsidePort, Vm

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
BROADCAST = (1 << 48) - 1
End = Vm | OutsidePort
NO_POLICY = Policy()
JUDGING = (Action.ISOLATE, Action.ALLOW, Action.DENY, Action.RESTRICT)
"""What rules do that decide about packets."""
RATES = st.sampled_from((None, 100, 2000))

OUTSIDE_ADDRESSES = tuple(
    ip_address(text) for text in ("192.0.2.10", "192.0.2.11", "203.0.113.66", "2001:db8::10", "2001:db8::11")
)


@st.composite
def networks(draw: st.DrawFn, *, plain: bool = True) -> Inventory:
    """Up to four VFNs with circles, five VMs in up to three segments of any default, two outside ports.

    Args:
        plain: segments let everything out and keep connections.
    """
    vfns = draw(st.integers(1, 4))
    pairs = [(draw(st.integers(0, number - 1)), number) for number in range(1, vfns)]
    if vfns > 2 and draw(st.booleans()):
        pairs.append((0, vfns - 1))
    defaults = st.sampled_from(("allow", "deny"))
    lines = ["segments:"]
    for number in range(segments := draw(st.integers(1, 3))):
        outward = "deny" if plain is False and draw(st.integers(0, 3)) == 0 else "allow"
        stateless = plain is False and draw(st.integers(0, 3)) == 0
        lines.append(
            f"  s{number}: {{default: {draw(defaults)}, outward: {outward}, stateless: {str(stateless).lower()}}}"
        )
    lines += ["vfns:", *(f"  v{number}: {{dpid: {number + 1}}}" for number in range(vfns)), "links:"]
    lines += [f"  - {{a: v{a}, a_port: l{n}a, b: v{b}, b_port: l{n}b}}" for n, (a, b) in enumerate(pairs)]
    lines += ["vms:"]
    for number in range(1, draw(st.integers(2, 5)) + 1):
        place = f"segment: s{draw(st.integers(0, segments - 1))}, vfn: v{draw(st.integers(0, vfns - 1))}"
        mac, addresses = f"'02:00:00:00:00:0{number}'", f"[10.0.0.{number}, 'fd00::{number}']"
        inspection, remediation = draw(st.sampled_from((("false", "false"), ("true", "false"), ("false", "true"))))
        marks = f"inspection: {inspection}, remediation: {remediation}"
        lines.append(f"  m{number}: {{{place}, port: p{number}, mac: {mac}, addresses: {addresses}, {marks}}}")
    lines += ["outside:"]
    for number in range(draw(st.integers(0, 2))):
        addresses = f"[192.0.2.1{number}, '2001:db8::1{number}']"
        place = f"vfn: v{draw(st.integers(0, vfns - 1))}, port: o{number}"
        lines.append(f"  o{number}: {{{place}, mac: '02:00:00:00:ff:0{number}', addresses: {addresses}}}")
    return parse("\n".join(lines))


def lengths(most: int) -> tuple[int, ...]:
    """Lengths of the prefixes that rules name."""
    return most, most - 1, most // 2, 0


@st.composite
def rules_for(
    draw: st.DrawFn,
    inventory: Inventory,
    actions: Iterable[Action] = JUDGING,
    about: Mapping[str, Address] | None = None,
    modes: Iterable[Mode] = (Mode.ENFORCE,),
) -> list[SegmentationRule]:
    """Up to four rules that mean something in this network, mostly `about` these ends (name: address) if given."""
    everybody = [(vm.name, address) for vm in inventory.vms.values() for address in vm.addresses]
    everybody += [("", address) for address in OUTSIDE_ADDRESSES]
    people = list((about or {}).items()) if about and draw(st.integers(0, 4)) else everybody
    found = []
    for number in range(draw(st.integers(0, 4))):
        rule = draw(_rule(inventory, f"{number:012x}", draw(st.sampled_from(list(actions))), people))
        rule = replace(rule, mode=draw(st.sampled_from(list(modes))))
        try:
            translate(rule, inventory)
        except PolicyError:
            continue
        found.append(rule)
    return found


@st.composite
def _rule(
    draw: st.DrawFn, inventory: Inventory, identity: str, action: Action, people: list[tuple[str, Address]]
) -> SegmentationRule:
    vm = inventory.vms[
        draw(st.sampled_from([name for name, _ in people if name in inventory.vms] or list(inventory.vms)))
    ]
    issuer = draw(st.sampled_from(("analyzer", "anna")))
    if action is Action.ISOLATE:
        scope = draw(st.sampled_from(list(Scope)))
        return SegmentationRule(identity, action, issuer, 0.0, vm.segment, vm.name, scope)
    if action is Action.RESTRICT:
        peers = tuple(draw(st.lists(_peers(people), max_size=3)))
        return SegmentationRule(identity, action, issuer, 0.0, source_vm=vm.name, peers=peers)
    if action is Action.STEER:
        target, mirror = draw(st.sampled_from(list(inventory.vms))), draw(st.booleans())
        return SegmentationRule(identity, action, issuer, 0.0, source_vm=vm.name, target=target, mirror=mirror)
    if action is Action.RATE_LIMIT and draw(st.booleans()):
        return SegmentationRule(identity, action, issuer, 0.0, source_vm=vm.name, rate=draw(RATES))
    _, address = draw(st.sampled_from(people))
    length = draw(st.sampled_from(lengths(address.max_prefixlen)))
    net = ip_network(f"{address}/{length}", strict=False)
    if action is Action.DENY:
        return SegmentationRule(identity, action, issuer, 0.0, source_ip=net)
    if action is Action.RATE_LIMIT:
        return SegmentationRule(identity, action, issuer, 0.0, source_ip=net, rate=draw(RATES))
    protocol = draw(st.sampled_from(list(Protocol)))
    has_ports = protocol in (Protocol.TCP, Protocol.UDP)
    port = draw(st.sampled_from((None, 80, 443))) if has_ports else None
    return SegmentationRule(
        identity, action, issuer, 0.0, source_ip=net, destination_vm=vm.name, port=port, protocol=protocol
    )


@st.composite
def _peers(draw: st.DrawFn, people: list[tuple[str, Address]]) -> Peer:
    _, address = draw(st.sampled_from(people))
    length = address.max_prefixlen - draw(st.sampled_from((0, 0, 1, 2)))
    protocol = draw(st.sampled_from(list(Protocol)))
    has_ports = protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
    port = draw(st.sampled_from((None, 80, 443))) if has_ports else None
    return Peer(ip_network(f"{address}/{length}", strict=False), protocol, port)


@dataclass
class Network:
    """Every VFN compiled and simulated; frames travel over the cables."""

    inventory: Inventory
    rules: Iterable[SegmentationRule] = ()
    policy: Policy = NO_POLICY
    connections: dict[str, set[Connection]] = field(default_factory=lambda: defaultdict(set))
    """What each VFN keeps; `send` adds to it."""
    related: bool = False
    """Is what is sent an ICMP error about one of these connections?"""
    limited: list[int] = field(default_factory=list)
    """Numbers of the meters of limits that `send` has passed, each time that it did."""
    observed: list[str] = field(default_factory=list)
    """Ids of rules whose shadow counted a packet of `send`, each time that it did."""
    ports: Mapping[str, Mapping[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        names = {vfn: missing_ports(self.inventory, vfn, {}) for vfn in self.inventory.vfns}
        self.ports = {vfn: {name: number for number, name in enumerate(ports, 1)} for vfn, ports in names.items()}
        firewall = [entry for rule in self.rules for entry in translate(rule, self.inventory)]
        self.vfns = {
            vfn: Simulator(compile_vfn(self.inventory, vfn, self.ports[vfn], firewall, self.policy))
            for vfn in self.inventory.vfns
        }
        self._far = {}
        for link in self.inventory.links:
            self._far[link.a, link.a_port] = (link.b, link.b_port)
            self._far[link.b, link.b_port] = (link.a, link.a_port)

    def send(self, sender: End, packet: Packet) -> list[str]:
        """Names of the ends that a frame of `sender` reaches, sorted. A frame that goes in circles fails the test."""
        places = {(end.vfn, end.port): end.name for end in ends(self.inventory)}
        reached: list[str] = []
        seen: set[str] = set()
        waiting = [(sender.vfn, sender.port)]
        while waiting:
            vfn, port = waiting.pop()
            assert vfn not in seen, f"{packet} came to {vfn} twice"
            seen.add(vfn)
            names = {number: name for name, number in self.ports[vfn].items()}
            known = self.connections[vfn]
            outcome = self.vfns[vfn].run({**packet, "in_port": self.ports[vfn][port]}, known, related=self.related)
            known |= outcome.committed
            self.limited += [e.meter for e in outcome.path if e.meter is not None and e.meter >= FIRST_LIMIT]
            self.observed += [r for e in outcome.path if e.table == Table.SHADOW_DENIED for r in e.rules]
            for number in outcome.ports:
                place = (vfn, names[number])
                if place in places:
                    reached.append(places[place])
                else:
                    waiting.append(self._far[place])
        return sorted(reached)

    def passes_guard(self, sender: End, packet: Packet) -> bool:
        """Does a frame of `sender` get beyond the tables of its VFN that tell honest from forged?"""
        outcome = self.vfns[sender.vfn].run({**packet, "in_port": self.ports[sender.vfn][sender.port]})
        return any(entry.table == Table.TAP for entry in outcome.path)


def ends(inventory: Inventory) -> list[End]:
    """Everything that can send."""
    return [*inventory.vms.values(), *inventory.outside.values()]


def own_addresses(end: End) -> tuple[Address, ...]:
    """The addresses an end may send from."""
    return addresses_of(end) if isinstance(end, Vm) else end.addresses


def ip_packet(sender: End, source: Address, mac: int, destination: Address, transport: Packet) -> dict[str, int]:
    """An IP packet of `sender` to a MAC."""
    version = source.version
    return {
        "eth_src": mac_number(sender.mac),
        "eth_dst": mac,
        "eth_type": IPV4 if version == 4 else IPV6,
        f"ipv{version}_src": int(source),
        f"ipv{version}_dst": int(destination),
        **transport,
    }


def asking(sender: End, source: Address, target: Address) -> dict[str, int]:
    """A broadcast ARP request or multicast neighbour solicitation for `target`."""
    mac = mac_number(sender.mac)
    if target.version == 4:
        fields = {"arp_op": 1, "arp_spa": int(source), "arp_tpa": int(target), "arp_sha": mac, "arp_tha": 0}
        return {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": ARP, **fields}
    group = (0x3333FF << 24) | int(target) & 0xFFFFFF
    multicast = ip_address((0xFF02 << 112) | (0x1FF << 24) | int(target) & 0xFFFFFF)
    fields = {"ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0, "nd_target": int(target), "nd_sll": mac}
    return ip_packet(sender, source, group, multicast, fields)
