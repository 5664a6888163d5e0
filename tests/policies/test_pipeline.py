"""What is compiled lets through exactly what the rules allow, in whole networks of simulated VFNs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import combinations, pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st
from support.network import (
    ARP,
    BROADCAST,
    IPV4,
    IPV6,
    End,
    Network,
    asking,
    ends,
    ip_packet,
    networks,
    own_addresses,
    rules_for,
)

from policies import reference
from policies.acl import Policy
from policies.pipeline.compile import compile_vfn
from policies.reference import decide
from policies.rules import Action, FirewallRule, Scope, SegmentationRule, Tier, Verdict
from policies.simulate import Simulator
from policies.translate import acls_in, translate
from topology.addresses import mac_number
from topology.inventory import parse
from topology.model import Address, Inventory, OutsidePort, Vm

TCP, UDP, SCTP = 6, 17, 132
ALL_ROUTERS = (0xFF02 << 112) | 2


def transports(version: int) -> Iterator[dict[str, int]]:
    """Transport headers of every kind that rules tell apart, ports near those that rules name."""
    yield {"ip_proto": SCTP}
    for kind in (0, 3, 8, 11, 13) if version == 4 else (1, 2, 128, 129):
        yield {"ip_proto": 1 if version == 4 else 58, f"icmpv{version}_type": kind, f"icmpv{version}_code": 0}
    for source, target in ((50000, 80), (80, 50000), (443, 80), (50000, 22)):
        yield {"ip_proto": UDP, "udp_src": source, "udp_dst": target}
        for flags in (0x02, 0x12, 0x10, 0x04):
            yield {"ip_proto": TCP, "tcp_src": source, "tcp_dst": target, "tcp_flags": flags}


def allowed(
    inventory: Inventory,
    rules: list[SegmentationRule],
    sender: tuple[End, Address],
    receiver: tuple[End, Address],
    transport: dict[str, int] | None,
) -> bool:
    """May a packet that opens nothing known pass, by the reference? None: asking for the address."""
    (a, source), (b, target) = sender, receiver
    cutting = (rule for rule in rules if rule.action is Action.ISOLATE and rule.scope is Scope.ALL)
    if any(rule.source_vm in (a.name, b.name) for rule in cutting):
        return False
    acls = [*dict.fromkeys(acls_in(firewall for rule in rules for firewall in translate(rule, inventory)))]
    one, other = (end.name if isinstance(end, Vm) else None for end in (a, b))
    packet = replace(_packet(source, target, transport), source=one, destination=other)
    return decide(inventory, Policy(), acls, packet).verdict is Verdict.ALLOW


def _packet(source: Address, target: Address, transport: dict[str, int] | None) -> reference.Packet:
    """Between nobody yet."""
    if transport is None:
        if source.version == 4:
            return reference.Packet(None, None, source, target)
        group = ip_address("ff02::1")
        return reference.Packet(None, None, source, group, protocol=58, icmp_type=135, target=target)
    near, far = (next((v for k, v in transport.items() if k.endswith(side)), 0) for side in ("_src", "_dst"))
    kind = transport.get("icmpv4_type", transport.get("icmpv6_type"))
    flags = transport.get("tcp_flags", 0)
    return reference.Packet(None, None, source, target, transport["ip_proto"], near, far, flags, kind)


def three_vms_and_a_router() -> Inventory:
    """m1 and m2 in segment s, m3 in t, on three VFNs in a row with a router at the second."""
    return parse(
        "segments: {s: , t: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}, v3: {dpid: 3}}\n"
        "links: [{a: v1, a_port: a, b: v2, b_port: b}, {a: v2, a_port: c, b: v3, b_port: d}]\nvms:\n"
        "  m1: {segment: s, vfn: v1, port: p, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
        "  m2: {segment: s, vfn: v3, port: p, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
        "  m3: {segment: t, vfn: v3, port: q, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
        "outside:\n  router: {vfn: v2, port: o, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1, '2001:db8::1']}\n"
    )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Network, list[SegmentationRule], tuple[End, Address], tuple[End, Address]]:
    """A network with rules, and two of its ends with an address each of one family."""
    inventory = draw(networks())
    a, b = draw(st.permutations(ends(inventory)))[:2]
    source = draw(st.sampled_from(own_addresses(a)))
    target = draw(st.sampled_from([address for address in own_addresses(b) if address.version == source.version]))
    rules = draw(rules_for(inventory, about={a.name: source, b.name: target}))
    return Network(inventory, rules), rules, (a, source), (b, target)


@given(conversations())
def test_unicast_goes_exactly_where_the_rules_let_it(conversation) -> None:
    """For random rules, what is delivered in both directions is what the slow reference says, to the right end only.

    Every packet is the first that the switches see: what connections do to it is tested with the judgement.
    """
    network, rules, one, other = conversation
    for (a, source), (b, target) in ((one, other), (other, one)):
        for transport in transports(source.version):
            network.connections.clear()
            passes = allowed(network.inventory, rules, (a, source), (b, target), transport)
            packet = ip_packet(a, source, mac_number(b.mac), target, transport)
            assert network.send(a, packet) == ([b.name] if passes else []), packet


@given(conversations())
def test_addresses_are_resolved_exactly_where_the_rules_let_it(conversation) -> None:
    """ARP requests and solicitations reach the owner of the address and no other VM, if it may be talked to at all."""
    network, rules, one, other = conversation
    inventory = network.inventory
    ways = ((one, other), (other, one))
    talk = any(allowed(inventory, rules, *way, transport) for way in ways for transport in transports(one[1].version))
    for (a, source), (b, target) in ways:
        reached = network.send(a, asking(a, source, target))
        if not allowed(inventory, rules, (a, source), (b, target), None):
            assert b.name not in reached
        elif talk:
            assert reached == [b.name]
        assert {*reached} <= {b.name, *inventory.outside}


@given(st.data())
def test_broadcasts_reach_all_who_may_hear_them(data) -> None:
    """A broadcast reaches every open end once; a question for an unknown address the outside, from there all VMs."""
    inventory = data.draw(networks())
    rules = data.draw(rules_for(inventory, (Action.ISOLATE,)))
    network = Network(inventory, rules)
    a = data.draw(st.sampled_from(ends(inventory)))
    source = data.draw(st.sampled_from([x for x in own_addresses(a) if x.version == 4]))
    silenced = {rule.source_vm for rule in rules}
    deaf = {rule.source_vm for rule in rules if rule.scope is Scope.ALL} | {a.name}
    closed = {vm.name for vm in inventory.vms.values() if inventory.segments[vm.segment].default == "deny"}
    udp = {"ip_proto": UDP, "udp_src": 5000, "udp_dst": 5000}
    shout = ip_packet(a, source, BROADCAST, ip_address("255.255.255.255"), udp)
    question = asking(a, source, ip_address("198.51.100.9"))
    all_ends = {end.name for end in ends(inventory)}
    hearers = set() if a.name in silenced else all_ends - deaf
    assert network.send(a, shout) == sorted(hearers - closed)
    heard = network.send(a, question)
    if isinstance(a, OutsidePort):
        assert heard == sorted(hearers)
    elif len({gate.vfn for gate in inventory.outside.values()}) < 2:
        assert heard == sorted(hearers - inventory.vms.keys())
    else:
        # Between two ways outside a question of a VM that is not known there might be an announcement of a router.
        assert hearers - inventory.vms.keys() <= {*heard} <= hearers


def usual_frames(inventory: Inventory, end: End) -> Iterator[dict[str, int]]:
    """One frame of each kind that an end may send or try to send, in its own name."""
    mac = mac_number(end.mac)
    v4, v6 = ([int(x) for x in own_addresses(end) if x.version == version] for version in (4, 6))
    peer = next(other for other in ends(inventory) if other is not end)
    peer4, peer6 = (int(next(x for x in own_addresses(peer) if x.version == version)) for version in (4, 6))
    base = {"eth_src": mac, "eth_dst": mac_number(peer.mac), "vlan_vid": 0}
    arp = {**base, "eth_type": ARP, "arp_op": 1, "arp_spa": v4[0], "arp_tpa": peer4, "arp_sha": mac, "arp_tha": 0}
    ipv4 = {**base, "eth_type": IPV4, "ipv4_src": v4[0], "ipv4_dst": peer4}
    ipv6 = {**base, "eth_type": IPV6, "ipv6_src": v6[-1], "ipv6_dst": peer6}
    icmpv6 = {**ipv6, "ip_proto": 58, "icmpv6_code": 0}
    yield {**base, "eth_type": 0x88CC}
    yield arp
    yield {**arp, "arp_spa": 0, "arp_tpa": v4[0]}
    yield {**ipv4, "ip_proto": TCP}
    yield {**ipv4, "ipv4_src": 0, "ipv4_dst": 0xFFFFFFFF, "ip_proto": UDP, "udp_src": 68, "udp_dst": 67}
    yield {**ipv6, "ip_proto": UDP}
    yield from ({**icmpv6, "icmpv6_type": kind} for kind in (0, 128, 130, 131, 133, 134, 137, 143))
    yield {**icmpv6, "icmpv6_type": 133, "ipv6_src": 0, "ipv6_dst": ALL_ROUTERS}
    yield {**icmpv6, "icmpv6_type": 135, "nd_target": peer6, "nd_sll": mac}
    yield {**icmpv6, "icmpv6_type": 135, "nd_target": v6[0]}
    yield {**icmpv6, "icmpv6_type": 135, "nd_target": v6[0], "ipv6_src": 0}
    yield {**icmpv6, "icmpv6_type": 136, "nd_target": v6[0], "nd_tll": mac}
    yield {**icmpv6, "icmpv6_type": 136, "nd_target": v6[-1]}


def frames(inventory: Inventory, end: End) -> Iterator[dict[str, int]]:
    """The usual frames of `end`, and all of them with one and two fields given another end's or a strange value."""
    others = [other for other in ends(inventory) if other is not end]
    macs = [*(mac_number(other.mac) for other in others), 0, BROADCAST, 0x3333FF000001]
    v4, v6 = ([int(x) for other in others for x in own_addresses(other) if x.version == v] for v in (4, 6))
    strange = {
        **dict.fromkeys(("eth_src", "arp_sha", "nd_sll", "nd_tll"), macs),
        **dict.fromkeys(("arp_spa", "arp_tpa", "ipv4_src", "ipv4_dst"), (*v4, 0)),
        **dict.fromkeys(("ipv6_src", "ipv6_dst", "nd_target"), (*v6, 0)),
        "vlan_vid": [0x1007],
        "arp_op": [2],
        "udp_src": [67],
        "udp_dst": [68],
        "icmpv6_code": [1],
    }
    for frame in usual_frames(inventory, end):
        changeable = [key for key in frame if key in strange]
        for keys in (*((key,) for key in changeable), *combinations(changeable, 2)):
            for values in product(*(strange[key] for key in keys)):
                changed = frame | dict(zip(keys, values, strict=True))
                if changed.get("icmpv6_code") == 1:  # the switch does not parse the rest of such a message
                    changed = {key: value for key, value in changed.items() if not key.startswith("nd_")}
                yield changed
        yield frame


def honest(vm: Vm, frame: dict[str, int]) -> bool:
    """The reference of the guard: does this frame claim nothing that is not the VM's own?"""
    mac, own = mac_number(vm.mac), {int(address) for address in own_addresses(vm)}
    if frame["vlan_vid"] or frame["eth_src"] != mac or frame["eth_type"] not in (ARP, IPV4, IPV6):
        return False
    if frame["eth_type"] == ARP:
        probe = frame["arp_spa"] == 0 and frame["arp_op"] == 1 and frame["arp_tpa"] in own
        return frame["arp_sha"] == mac and (frame["arp_spa"] in own or probe)
    if frame["eth_type"] == IPV4:
        dhcp = (0, 0xFFFFFFFF, 68, 67)
        asks_dhcp = (frame["ipv4_src"], frame["ipv4_dst"], frame.get("udp_src"), frame.get("udp_dst")) == dhcp
        return frame["ipv4_src"] in own or asks_dhcp
    return honest_ipv6(frame, mac, own)


def honest_ipv6(frame: dict[str, int], mac: int, own: set[int]) -> bool:
    mine = frame["ipv6_src"] in own
    kind = frame.get("icmpv6_type")
    option = frame.get("nd_sll", frame.get("nd_tll", 0))
    if kind in (0, 130, 134, 137):
        return False
    if kind == 133:
        return mine or (frame["ipv6_src"], frame["ipv6_dst"], frame["icmpv6_code"]) == (0, ALL_ROUTERS, 0)
    if kind == 135:
        detection = frame["ipv6_src"] == 0 and frame.get("nd_target") in own and option == 0
        return frame["icmpv6_code"] == 0 and frame["nd_target"] != 0 and ((mine and option in (0, mac)) or detection)
    if kind == 136:
        return frame["icmpv6_code"] == 0 and mine and frame["nd_target"] in own and option in (0, mac)
    return mine


def test_the_guard_lets_a_vm_speak_as_itself_only() -> None:
    """Whatever a VM sends passes the guard exactly when every name in it is the VM's own."""
    inventory = three_vms_and_a_router()
    network, vm = Network(inventory), inventory.vms["m1"]
    verdicts = Counter()
    for frame in frames(inventory, vm):
        verdicts[honest(vm, frame)] += 1
        assert network.passes_guard(vm, frame) == honest(vm, frame), frame
    assert verdicts[True] > 50
    assert verdicts[False] > 1000


def test_the_outside_never_speaks_as_a_vm() -> None:
    """No frame from an outside port passes that has a VM's MAC or address as its sender or as what it claims."""
    inventory = three_vms_and_a_router()
    network, router = Network(inventory), inventory.outside["router"]
    ours = {int(address) for vm in inventory.vms.values() for address in own_addresses(vm)}
    macs = {mac_number(vm.mac) for vm in inventory.vms.values()}
    for frame in frames(inventory, router):
        claimed = {frame.get(key) for key in ("arp_spa", "ipv4_src", "ipv6_src")}
        if frame.get("arp_spa") == 0:
            claimed.add(frame["arp_tpa"])
        if frame.get("icmpv6_type") == 136 or (frame.get("icmpv6_type") == 135 and frame["ipv6_src"] == 0):
            claimed.add(frame.get("nd_target"))
        lies = bool(claimed & ours) or frame["eth_src"] in macs
        malformed = frame["vlan_vid"] != 0 or frame.get("nd_target") == 0
        assert network.passes_guard(router, frame) == (not lies and not malformed), frame


@settings(max_examples=10)
@given(st.data())
def test_an_isolated_vm_neither_sends_nor_receives_anything(data) -> None:
    """With scope `all` no frame of any kind leaves the VM for anybody or reaches it, from its own segment neither."""
    inventory = data.draw(networks())
    vm = data.draw(st.sampled_from(list(inventory.vms.values())))
    others = data.draw(rules_for(inventory, (Action.ALLOW, Action.DENY)))
    isolate = SegmentationRule("f" * 12, Action.ISOLATE, "analyzer", 0.0, vm.segment, vm.name)
    network = Network(inventory, [*others, isolate])
    for sender in ends(inventory):
        for frame in usual_frames(inventory, sender):
            for destination in (mac_number(vm.mac), frame["eth_dst"], BROADCAST):
                reached = network.send(sender, {**frame, "eth_dst": destination})
                assert vm.name not in reached
                assert sender.name != vm.name or not reached


def test_isolation_from_other_segments_leaves_the_own_one() -> None:
    """With scope `other_segments` IPv4, IPv6 and asking for addresses go on within the segment, and only there."""
    inventory = three_vms_and_a_router()
    isolate = SegmentationRule("f" * 12, Action.ISOLATE, "anna", 0.0, "s", "m1", Scope.OTHER_SEGMENTS)
    network = Network(inventory, [isolate])
    m1, m2, m3 = inventory.vms.values()
    for a, b, arrives in ((m1, m2, True), (m2, m1, True), (m1, m3, False), (m3, m1, True), (m2, m3, True)):
        for source, target in zip(own_addresses(a), own_addresses(b), strict=True):
            packet = ip_packet(a, source, mac_number(b.mac), target, {"ip_proto": TCP, "tcp_src": 1, "tcp_dst": 2})
            assert network.send(a, packet) == ([b.name] if arrives else [])
            assert network.send(a, asking(a, source, target)) == ([b.name] if arrives else [])


def _answers(network: Network, source: End, target: End) -> list[bool]:
    """Does a connection to port 80 work: asking both ways, request, answer; by family."""
    results = []
    for a, b in zip(own_addresses(source), own_addresses(target), strict=False):
        request = {"ip_proto": TCP, "tcp_src": 50000, "tcp_dst": 80, "tcp_flags": 0x02}
        answer = {"ip_proto": TCP, "tcp_src": 80, "tcp_dst": 50000, "tcp_flags": 0x12}
        steps = [
            network.send(source, asking(source, a, b)) == [target.name],
            network.send(target, asking(target, b, a)) == [source.name],
            network.send(source, ip_packet(source, a, mac_number(target.mac), b, request)) == [target.name],
            network.send(target, ip_packet(target, b, mac_number(source.mac), a, answer)) == [source.name],
        ]
        assert steps[2] == steps[3]
        results.append(all(steps))
    return results


def _rule(number: int, action: Action, net: str, issuer: str = "anna", vm: str | None = None) -> SegmentationRule:
    identity = f"{number:012x}"
    return SegmentationRule(identity, action, issuer, 0.0, source_ip=ip_network(net), destination_vm=vm)


def test_a_person_may_allow_what_the_analyzer_denied() -> None:
    """An operator's `allow` holds over a `deny`, across VFNs on the way where the `deny` stands as well."""
    inventory = three_vms_and_a_router()
    router, m1, m2 = inventory.outside["router"], inventory.vms["m1"], inventory.vms["m2"]
    denied = [_rule(1, Action.DENY, "192.0.2.0/24", "analyzer"), _rule(2, Action.DENY, "2001:db8::/64", "analyzer")]
    assert _answers(Network(inventory, denied), router, m2) == [False, False]
    allowed = [_rule(3, Action.ALLOW, "192.0.2.1/32", vm="m2"), _rule(4, Action.ALLOW, "2001:db8::1/128", vm="m2")]
    network = Network(inventory, [*denied, *allowed])
    assert _answers(network, router, m2) == [True, True]
    assert _answers(network, router, m1) == [False, False]


def test_among_rules_of_one_tier_the_longer_prefix_decides() -> None:
    """A person's exception holds in a wider rule of the same person, whichever way round, and a drop at a tie."""
    inventory = three_vms_and_a_router()
    router, m2 = inventory.outside["router"], inventory.vms["m2"]
    cases = {("/24", "/32"): True, ("/32", "/24"): False, ("/32", "/32"): False}
    for (denied, allowed), works in cases.items():
        networks = {"/24": "192.0.2.0/24", "/32": "192.0.2.1/32"}
        deny, allow = _rule(1, Action.DENY, networks[denied]), _rule(2, Action.ALLOW, networks[allowed], vm="m2")
        assert _answers(Network(inventory, [deny, allow]), router, m2)[0] is works


def test_an_allowed_connection_works_between_two_default_deny_segments() -> None:
    """Its answers reach a source whose own segment denies by default, and nothing else does."""
    text = "segments: {s: {default: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    text += "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    for number in (1, 2):
        place = f"segment: s, vfn: v{number}, port: p, mac: '02:00:00:00:00:0{number}'"
        text += f"  m{number}: {{{place}, addresses: [10.0.0.{number}]}}\n"
    inventory = parse(text)
    m1, m2 = inventory.vms.values()
    network = Network(inventory, [_rule(1, Action.ALLOW, "10.0.0.1/32", vm="m2")])
    assert _answers(network, m1, m2)[0] is True
    opening = {"ip_proto": TCP, "tcp_src": 80, "tcp_dst": 22, "tcp_flags": 0x02}
    packet = ip_packet(m2, own_addresses(m2)[0], mac_number(m1.mac), own_addresses(m1)[0], opening)
    assert network.send(m2, packet) == []


def test_a_vfn_between_two_links_only_forwards() -> None:
    """A rule that a VFN on the way happens to hold is not judged there: only where a packet enters and leaves."""
    inventory = three_vms_and_a_router()
    m1, m2 = inventory.vms["m1"], inventory.vms["m2"]
    network = Network(inventory)
    stray = FirewallRule("1" * 12, "v2", Tier.OPERATOR, Verdict.DROP, source_vm="m1")
    network.vfns["v2"] = Simulator(compile_vfn(inventory, "v2", network.ports["v2"], [stray]))
    assert _answers(network, m1, m2) == [True, True, True]


def test_tiers_do_not_overlap() -> None:
    """The longest prefix of one tier stays below the next tier."""
    values = sorted(Tier)
    assert all(low + 2 * 128 + 1 < high for low, high in pairwise(values))
