"""The compiled tables decide as the reference does: whole networks, random policies, answers and observation."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.network import Network, ends, ip_packet, networks, rules_for
from support.policies import packets, policies, transport

from policies import reference
from policies.acl import Acl, Policy
from policies.pipeline.ranges import FULL, cover
from policies.reference import Packet, Tracked
from policies.rules import Action, Mode, Scope, SegmentationRule, Verdict
from policies.translate import acls_in, translate
from topology.addresses import mac_number
from topology.inventory import parse
from topology.model import Inventory, OutsidePort, Vm

MODES = (Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE)
RANDOM = settings(suppress_health_check=list(HealthCheck))


def send(network: Network, sender: Vm | OutsidePort, target: Vm | OutsidePort, packet: Packet) -> bool:
    """Does it arrive?"""
    assert packet.source_address is not None
    assert packet.destination_address is not None
    frame = ip_packet(
        sender, packet.source_address, mac_number(target.mac), packet.destination_address, transport(packet)
    )
    frame[f"ipv{packet.source_address.version}_dst"] = int(packet.destination_address)
    return target.name in network.send(sender, frame)


def acls_of(inventory: Inventory, rules: list[SegmentationRule], vfn: str | None = None) -> tuple[Acl, ...]:
    """What segmentation rules say of packets: all of them, or those that stand at one VFN."""
    firewalls = (firewall for rule in rules for firewall in translate(rule, inventory))
    return tuple(dict.fromkeys(acls_in(one for one in firewalls if vfn in (None, one.vfn))))


def assert_observed(network: Network, rules: tuple[str, ...]) -> None:
    """One of the rules has counted the packet once, or none if there is none."""
    assert len(network.observed) == bool(rules)
    assert set(network.observed) <= set(rules)


def cut(rules: list[SegmentationRule], *names: str | None) -> bool:
    """Is the port of one of these VMs cut?"""
    cutting = (rule for rule in rules if rule.action == "isolate" and rule.mode is Mode.ENFORCE)
    return any(rule.scope == "all" and rule.source_vm in names for rule in cutting)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Inventory, Policy, list[SegmentationRule], Network]:
    """A network with a policy and rules in force."""
    inventory = draw(networks(plain=False))
    assume(len(ends(inventory)) > 1)
    policy, rules = draw(policies(inventory)), draw(rules_for(inventory, modes=MODES))
    return inventory, policy, rules, Network(inventory, rules, policy)


@given(st.data())
@RANDOM
def test_compiled_tables_decide_as_the_reference(data: st.DataObject) -> None:
    """Any packet between two ends arrives exactly when the reference says so, and is observed exactly as it says."""
    inventory, policy, rules, network = data.draw(situations())
    acls = acls_of(inventory, rules)
    for _ in range(4):
        sender, target, packet = data.draw(packets(inventory))
        decision = reference.decide(inventory, policy, acls, packet)
        passes = decision.verdict is Verdict.ALLOW and not cut(rules, packet.source, packet.destination)
        network.connections.clear()
        network.observed.clear()
        assert send(network, sender, target, packet) == passes, decision
        if not cut(rules, packet.source, packet.destination):
            here = acls_of(inventory, rules, sender.vfn)
            assert_observed(network, reference.observe(inventory, policy, here, packet))


APART = parse("""
segments: {s0: {outward: deny}, s1: }
vfns: {v0: {dpid: 1}, v1: {dpid: 2}}
links: [{a: v0, a_port: l0a, b: v1, b_port: l0b}]
vms:
  m1: {segment: s0, vfn: v0, port: p1, mac: "02:00:00:00:00:01", addresses: [10.0.0.1]}
  m2: {segment: s0, vfn: v1, port: p2, mac: "02:00:00:00:00:02", addresses: [10.0.0.2]}
  m3: {segment: s1, vfn: v1, port: p3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3]}
""")
"""Nobody of s0 may turn to anybody."""


def test_an_isolation_in_observe_counts_what_leads_to_whom_its_vfn_does_not_know() -> None:
    """Nothing lets m1 reach m3, so its VFN knows no m3; what it sends there is of another segment all the same."""
    rule = SegmentationRule("a" * 12, Action.ISOLATE, "analyzer", 0.0, segment="s0", source_vm="m1")
    network = Network(APART, [replace(rule, scope=Scope.OTHER_SEGMENTS, mode=Mode.OBSERVE)])
    m1, m2, m3 = APART.vms.values()
    for target, observed in ((m3, ["a" * 12]), (m2, [])):
        packet = Packet("m1", target.name, m1.addresses[0], target.addresses[0], reference.TCP, 50_000, 80, tcp_flags=2)
        network.observed.clear()
        assert not send(network, m1, target, packet)
        assert network.observed == observed


@given(st.data())
@RANDOM
def test_answers_pass_exactly_with_their_connection(data: st.DataObject) -> None:
    """An answer arrives when its connection was allowed and is allowed still, or else by itself."""
    inventory, policy, rules, network = data.draw(situations())
    acls = acls_of(inventory, rules)
    sender, target, packet = data.draw(packets(inventory))
    assume(packet.icmp_type is None or packet.icmp_type in (8, 128))
    opened = send(network, sender, target, packet)
    allowed = reference.judge(inventory, policy, acls, packet).verdict is Verdict.ALLOW
    answer = reference.reverse(packet)
    if packet.icmp_type is not None:
        answer = replace(answer, icmp_type={8: 0, 128: 129}[packet.icmp_type])
    elif packet.protocol == reference.TCP:
        answer = replace(answer, tcp_flags=0x12)
    tracked = Tracked.REPLY if opened and allowed else Tracked.NEW
    decision = reference.decide(inventory, policy, acls, answer, tracked)
    network.observed.clear()
    passes = decision.verdict is Verdict.ALLOW and not cut(rules, packet.source, packet.destination)
    assert send(network, target, sender, answer) == passes, (decision, tracked)
    if not cut(rules, packet.source, packet.destination):
        here = acls_of(inventory, rules, target.vfn)
        assert_observed(network, reference.observe(inventory, policy, here, answer, tracked))


@given(st.data())
@RANDOM
def test_a_change_of_policy_holds_for_connections_that_are_known(data: st.DataObject) -> None:
    """What was opened under another policy is answered only as far as the present one allows the connection."""
    inventory = data.draw(networks(plain=False))
    assume(len(ends(inventory)) > 1)
    before, after = data.draw(policies(inventory)), data.draw(policies(inventory))
    sender, target, packet = data.draw(packets(inventory))
    assume(packet.protocol in (reference.TCP, reference.UDP))
    old, new = Network(inventory, (), before), Network(inventory, (), after)
    send(old, sender, target, packet)
    new.connections.update({vfn: set(known) for vfn, known in old.connections.items()})
    answer = replace(reference.reverse(packet), tcp_flags=0x10 if packet.protocol == reference.TCP else 0)
    arrives = send(new, target, sender, answer)
    allowed = reference.decide(inventory, after, (), answer, Tracked.REPLY).verdict is Verdict.ALLOW
    assert not arrives or allowed, "an answer outlived its policy"
    # The present policy's own packets make the connection known again, and then its answers pass.
    if send(new, sender, target, packet) and reference.judge(inventory, after, (), packet).verdict is Verdict.ALLOW:
        assert send(new, target, sender, answer) == allowed


def test_errors_about_a_connection_pass_with_it() -> None:
    """An ICMP error that the switch relates to a connection arrives in a default-deny segment, another does not."""
    inventory = closed_client()
    client, server = inventory.vms["client"], inventory.vms["server"]
    network = Network(inventory, (), Policy())
    error = Packet("server", "client", server.addresses[0], client.addresses[0], 1, icmp_type=3)
    assert not send(network, server, client, error)
    network.related = True
    assert send(network, server, client, error)


def closed_client() -> Inventory:
    """A client in a default-deny segment and a server elsewhere, on VFNs of their own."""
    from topology.inventory import parse

    return parse(
        "segments: {closed: {default: deny}, open: {}}\n"
        "vfns: {a: {dpid: 1}, b: {dpid: 2}}\n"
        "links: [{a: a, a_port: x, b: b, b_port: y}]\n"
        "vms:\n"
        "  client: {segment: closed, vfn: a, port: p, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
        "  server: {segment: open, vfn: b, port: q, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    )


@given(st.integers(0, FULL), st.integers(0, FULL))
def test_a_range_is_covered_exactly(one: int, other: int) -> None:
    """The blocks of a range hold its ports and no others, none twice, and are at most thirty."""
    first, last = sorted((one, other))
    blocks = list(cover(first, last))
    assert len(blocks) <= 30
    spans = sorted((value, value + (FULL ^ mask)) for value, mask in blocks)
    assert (spans[0][0], spans[-1][1]) == (first, last)
    assert all(end + 1 == begin for (_, end), (begin, _) in pairwise(spans))


def test_a_range_upside_down_is_refused() -> None:
    """A range that ends before it begins is an error, not nothing."""
    with pytest.raises(ValueError, match="no range of ports"):
        list(cover(80, 79))
