"""What a rule becomes on which VFN, word for word as the mission has it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from policies.rules import Action, FirewallRule, Protocol, Scope, SegmentationRule, Tier, Verdict
from policies.translate import tier_of, translate
from runtime.errors import PolicyError
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: {default: deny}}\n"
    "vfns: {core: {dpid: 1}, v1: {dpid: 2}, v2: {dpid: 3}, empty: {dpid: 4}}\n"
    "links: [{a: core, a_port: a, b: v1, b_port: b}, {a: core, a_port: c, b: v2, b_port: d},"
    " {a: core, a_port: e, b: empty, b_port: f}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "  db2: {segment: db, vfn: v1, port: d2, mac: '02:00:00:00:00:04', addresses: [10.0.0.4]}\n"
    "outside: {gate: {vfn: core, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1]}}\n"
)
ISOLATE = SegmentationRule("a" * 12, Action.ISOLATE, "analyzer", 0.0, segment="web", source_vm="web1")
ALLOW = SegmentationRule(
    "b" * 12,
    Action.ALLOW,
    "anna",
    0.0,
    source_ip=ip_network("10.0.0.1"),
    destination_vm="db1",
    port=80,
    protocol=Protocol.TCP,
)
DENY = SegmentationRule("c" * 12, Action.DENY, "analyzer", 0.0, source_ip=ip_network("203.0.113.66"))


def test_isolation_from_other_segments_is_one_drop_on_the_vms_vfn() -> None:
    """`{segment, action: isolate, source_vm}`: drop from that VM to all other segments, where the VM is."""
    expected = FirewallRule("a" * 12, "v1", Tier.QUARANTINE, Verdict.DROP, "web1", not_destination_segment="web")
    assert translate(replace(ISOLATE, scope=Scope.OTHER_SEGMENTS), INVENTORY) == (expected,)


def test_isolation_from_everybody_cuts_the_port_in_and_out() -> None:
    """Scope `all`: the port is cut, and what is from or to the VM is dropped, where the VM is."""
    base = FirewallRule("a" * 12, "v1", Tier.QUARANTINE, Verdict.DROP)
    expected = (
        replace(base, cut_port_of="web1"),
        replace(base, source_vm="web1"),
        replace(base, destination_vm="web1"),
    )
    assert translate(ISOLATE, INVENTORY) == expected


def test_allow_accepts_at_both_ends() -> None:
    """`{action: allow, source_ip, destination_vm, port, protocol}`: accept there, and where the source comes in."""
    base = FirewallRule("b" * 12, "v2", Tier.OPERATOR, Verdict.ALLOW, protocol=Protocol.TCP)
    there = replace(base, source_net=ip_network("10.0.0.1"), destination_vm="db1", destination_port=80)
    assert translate(ALLOW, INVENTORY) == (replace(there, vfn="v1"), there)


def test_allow_of_many_sources_holds_where_any_of_them_comes_in() -> None:
    """A network with VMs and the outside in it is accepted at all their VFNs, so that no `deny` there stops it."""
    firewall = translate(replace(ALLOW, source_ip=ip_network("192.0.2.0/24")), INVENTORY)
    assert [rule.vfn for rule in firewall] == ["core", "v2"]
    firewall = translate(replace(ALLOW, source_ip=ip_network("0.0.0.0/0")), INVENTORY)
    assert [rule.vfn for rule in firewall] == ["core", "v1", "v2"]


def test_deny_drops_both_directions_wherever_there_is_an_end() -> None:
    """An outside address is denied on every VFN with VMs or outside ports, and on no other."""
    net = ip_network("203.0.113.66")
    firewall = translate(DENY, INVENTORY)
    assert [(rule.vfn, rule.source_net, rule.destination_net) for rule in firewall] == [
        (vfn, *nets) for vfn in ("core", "v1", "v2") for nets in ((net, None), (None, net))
    ]
    assert {(rule.tier, rule.verdict) for rule in firewall} == {(Tier.INTEL, Verdict.DROP)}


def test_persons_stand_above_the_analyzer_and_isolation_above_both() -> None:
    """The tier follows from who issued what."""
    assert tier_of(replace(ISOLATE, issuer="anna")) is Tier.QUARANTINE
    assert tier_of(DENY) < tier_of(replace(DENY, issuer="anna")) < tier_of(ISOLATE)
    assert tier_of(replace(ALLOW, issuer="analyzer")) is Tier.LEARNED


@pytest.mark.parametrize(
    ("rule", "key", "words"),
    [
        (replace(ISOLATE, source_vm=None), "source_vm", "name a VM"),
        (replace(ISOLATE, source_vm="web2"), "source_vm", "did you mean `web1`"),
        (replace(ISOLATE, segment="db"), "segment", "web1 is in segment web, not db"),
        (replace(ISOLATE, source_ip=ip_network("10.0.0.1")), "source_ip", "leave it out"),
        (replace(ALLOW, source_ip=None), "source_ip", "missing"),
        (replace(ALLOW, destination_vm=None), "destination_vm", "missing"),
        (replace(ALLOW, destination_vm="db9"), "destination_vm", "no VM 'db9'"),
        (replace(ALLOW, protocol=Protocol.ANY), "protocol", "tcp, udp or sctp"),
        (replace(ALLOW, protocol=Protocol.ICMP), "protocol", "tcp, udp or sctp"),
        (replace(ALLOW, port=0), "port", "1 .. 65535"),
        (replace(ALLOW, port=70000), "port", "70000 is no port"),
        (replace(ALLOW, source_vm="web1"), "source_vm", "leave it out"),
        (replace(DENY, source_ip=None), "source_ip", "missing"),
        (replace(DENY, source_ip=ip_network("10.0.0.0/24")), "source_ip", "isolate web1 instead"),
        (replace(DENY, source_ip=ip_network("fe80::/10")), "source_ip", "VM web1"),
        (replace(DENY, protocol=Protocol.TCP), "protocol", "denied whole"),
        (replace(DENY, port=80), "port", "leave it out"),
    ],
)
def test_a_rule_that_cannot_mean_anything_names_its_key(rule: SegmentationRule, key: str, words: str) -> None:
    """Each contradiction is refused with its key and words that help."""
    with pytest.raises(PolicyError) as caught:
        translate(rule, INVENTORY)
    assert caught.value.key == key
    assert words in str(caught.value)
