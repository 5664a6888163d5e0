"""The page that says what a policy means, case by case."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from policies.acl import Acl, AddressList, Mode, Peer, Policy, Service
from policies.reference import ICMP, SCTP, TCP, UDP, Packet, Tracked, answers, decide, judge, observe, reverse
from policies.rules import Protocol, Tier, Verdict
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: {default: deny}, lab: {outward: deny}, fast: {default: deny, stateless: true}}\n"
    "vfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  db1: {segment: db, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
    "  lab1: {segment: lab, vfn: v1, port: p3, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "  fast1: {segment: fast, vfn: v1, port: p4, mac: '02:00:00:00:00:04', addresses: [10.0.0.4, 'fd00::4']}\n"
)
EMPTY = Policy()
OUTSIDE = ip_address("192.0.2.9")
ALLOW, DROP = Verdict.ALLOW, Verdict.DROP
SQL = (Service(Protocol.TCP, ((5432, 5433),)),)


def packet(source: str | None, destination: str | None, **fields) -> Packet:
    """A TCP packet from port 50000 to 5432, unless told otherwise."""
    usual = Packet(source, destination, _address(source), _address(destination), TCP, 50000, 5432, tcp_flags=2)
    return replace(usual, **fields)


def _address(vm: str | None):
    return OUTSIDE if vm is None else INVENTORY.vms[vm].addresses[0]


def arp(source: str | None, destination: str | None) -> Packet:
    return Packet(source, destination, _address(source), _address(destination))


def solicitation(source: str, destination: str) -> Packet:
    own, target = (INVENTORY.vms[name].addresses[1] for name in (source, destination))
    group = ip_address("ff02::1:ff00:2")
    return Packet(source, destination, own, group, protocol=ICMP[6], icmp_type=135, target=target)


def acl(name: str, verdict: Verdict, tier: Tier = Tier.POLICY, **fields) -> Acl:
    return Acl(name, tier, verdict, **fields)


def verdict(packet: Packet, *acls: Acl, tracked: Tracked = Tracked.NEW) -> Verdict:
    return decide(INVENTORY, EMPTY, acls, packet, tracked).verdict


def test_without_rules_the_segments_defaults_decide() -> None:
    """Inward by the destination's, outward by the source's; broadcasts have no destination's default."""
    assert verdict(packet("web1", None)) is ALLOW
    assert judge(INVENTORY, EMPTY, (), packet("web1", "db1")).default == "db"
    assert judge(INVENTORY, EMPTY, (), packet("lab1", "web1")).default == "lab"
    assert verdict(packet("web1", "lab1")) is ALLOW
    assert verdict(packet("web1", None, broadcast=True)) is ALLOW
    assert verdict(packet("lab1", None, broadcast=True)) is DROP
    assert verdict(Packet("web1", "db1")) is DROP, "neither IP nor ARP"


def test_tier_then_rank_then_drop_decides() -> None:
    """The order of rules in a policy means nothing."""
    low, high = acl("low", ALLOW, rank=5), acl("high", DROP, rank=6)
    assert verdict(packet("web1", "lab1"), low, high) is DROP
    assert verdict(packet("web1", "lab1"), replace(low, rank=6), high) is DROP
    assert verdict(packet("web1", "lab1"), replace(low, rank=7), high) is ALLOW
    assert verdict(packet("web1", "lab1"), replace(low, tier=Tier.OPERATOR), replace(high, rank=3000)) is ALLOW
    both = judge(INVENTORY, EMPTY, (high, replace(high, rule_id="too"), low), packet("web1", "lab1"))
    assert [one.rule_id for one in both.acls] == ["high", "too"]


def test_ends_and_services_must_all_fit() -> None:
    """VM, segment, every segment but one, addresses, lists; protocol and both ports."""
    ask = packet("web1", "db1")
    fitting: list[dict[str, Any]] = [
        {},
        {"source": Peer(vm="web1"), "destination": Peer(segment="db")},
        {"source": Peer(not_segment="db"), "services": SQL},
        {"source": Peer(nets=(ip_network("10.0.0.0/31"),)), "destination": Peer(nets=(ip_network("10.0.0.2/32"),))},
        {"source": Peer(list="some"), "services": (Service(Protocol.TCP, (), ((49152, 65535),)),)},
    ]
    others: list[dict[str, Any]] = [
        {"source": Peer(vm="db1")},
        {"destination": Peer(segment="outside")},
        {"destination": Peer(not_segment="db")},
        {"destination": Peer(nets=(ip_network("fd00::/8"),))},
        {"destination": Peer(list="some")},
        {"source": Peer(list="none")},
        {"services": (Service(Protocol.TCP, ((5433, 5433),)), Service(Protocol.UDP), Service(Protocol.SCTP))},
        {"services": (Service(Protocol.TCP, ((5432, 5432),), ((1, 1023),)), Service(Protocol.ICMP))},
    ]
    lists = {"some": AddressList("some", (ip_network("10.0.0.1/32"),)), "none": AddressList("none", ())}
    policy = Policy(lists=lists)
    for fields in fitting:
        assert judge(INVENTORY, policy, (acl("a", ALLOW, **fields),), ask).verdict is ALLOW, fields
    for fields in others:
        assert judge(INVENTORY, policy, (acl("a", ALLOW, **fields),), ask).verdict is DROP, fields
    everybody = packet("web1", None, broadcast=True)
    assert verdict(everybody, acl("a", DROP, destination=Peer(segment="outside"))) is ALLOW
    assert verdict(everybody, acl("a", DROP, destination=Peer(not_segment="web"))) is DROP
    assert verdict(packet("web1", None, protocol=SCTP), acl("a", DROP, services=(Service(Protocol.SCTP),))) is DROP


def test_an_answer_passes_as_long_as_its_connection_is_allowed() -> None:
    """The reply of an allowed connection passes a default and a deny; taking the allow away cuts it."""
    rules = acl("sql", ALLOW, source=Peer(vm="lab1"), services=SQL), acl("no", DROP, source=Peer(vm="db1"))
    reply = packet("db1", "lab1", source_port=5432, destination_port=50000, tcp_flags=0x12)
    assert verdict(reply, *rules) is DROP
    decision = decide(INVENTORY, EMPTY, rules, reply, Tracked.REPLY)
    assert (decision.verdict, decision.by_answer, decision.judgement.acls[0].rule_id) == (ALLOW, True, "sql")
    assert verdict(reply, rules[1], tracked=Tracked.REPLY) is DROP
    assert verdict(reply, rules[1], tracked=Tracked.RELATED) is ALLOW
    stronger = acl("cut", DROP, source=Peer(vm="lab1"), rank=2000)
    assert verdict(reply, *rules, stronger, tracked=Tracked.REPLY) is DROP, "a new deny cuts both directions"


def test_containment_holds_for_answers_and_resolution() -> None:
    """INTEL and above drop everything that they match; their allows let who is allowed be resolved."""
    for tier in (Tier.EMERGENCY, Tier.QUARANTINE, Tier.OPERATOR, Tier.INTEL):
        cut = acl("cut", DROP, tier, source=Peer(vm="web1"))
        for frame in (packet("web1", None), arp("web1", "db1"), solicitation("web1", "db1"), Packet("web1", "lab1")):
            assert verdict(frame, cut) is DROP
        assert verdict(packet("web1", None), cut, tracked=Tracked.REPLY) is DROP
    intel = acl("bad", DROP, Tier.INTEL, source=Peer(nets=(ip_network("192.0.2.0/24"),)))
    allow = acl("but", ALLOW, Tier.OPERATOR, source=Peer(nets=(ip_network("192.0.2.9"),)), services=SQL)
    assert verdict(arp(None, "web1"), intel) is DROP
    assert verdict(arp(None, "web1"), intel, allow) is ALLOW
    assert verdict(packet(None, "web1"), intel, allow) is ALLOW
    assert verdict(packet(None, "web1", destination_port=22), intel, allow) is DROP


def test_a_solicitation_is_also_for_the_address_that_it_asks_for() -> None:
    """Whoever is denied an address is denied its resolution."""
    deny = acl("no", DROP, Tier.INTEL, destination=Peer(nets=(ip_network("fd00::2"),)))
    assert verdict(solicitation("web1", "db1"), deny) is DROP
    assert verdict(solicitation("web1", "lab1"), deny) is ALLOW


def test_lists_are_of_addresses_of_ip_packets() -> None:
    """A list decides about neighbour discovery by its sender, about ARP not at all."""
    policy = Policy(lists={"some": AddressList("some", (ip_network("10.0.0.1"), ip_network("fd00::/64")))})
    cut = (acl("cut", DROP, Tier.EMERGENCY, source=Peer(list="some")),)
    frames = (packet("web1", None), DROP), (solicitation("web1", "db1"), DROP), (arp("web1", "db1"), ALLOW)
    for frame, expected in frames:
        assert decide(INVENTORY, policy, cut, frame).verdict is expected
    deaf = (acl("cut", DROP, Tier.EMERGENCY, destination=Peer(list="some")),)
    assert decide(INVENTORY, policy, deaf, solicitation("web1", "db1")).verdict is ALLOW


def test_below_containment_resolution_passes_and_rules_are_about_ip() -> None:
    """Neither a default nor a rule of the policy keeps addresses from being found, or decides of other frames."""
    deny = acl("no", DROP)
    for frame in (arp("web1", "db1"), solicitation("web1", "db1"), Packet("web1", "lab1")):
        assert verdict(frame, deny) is ALLOW
    assert verdict(Packet("web1", "db1"), acl("yes", ALLOW)) is DROP


def test_stateless_segments_know_answers_by_shape() -> None:
    """TCP with ACK or RST, ICMP answers, any UDP; and SCTP everywhere, as nobody tracks it."""
    shapes = [
        (packet("fast1", "web1", tcp_flags=0x12), True),
        (packet("fast1", "web1", tcp_flags=0x04), True),
        (packet("fast1", "web1"), False),
        (packet("fast1", "web1", protocol=UDP), True),
        (packet("fast1", "web1", protocol=ICMP[4], icmp_type=0), True),
        (packet("fast1", "web1", protocol=ICMP[4], icmp_type=8), False),
        (packet("fast1", None, tcp_flags=0x10), True),
        (packet(None, "fast1", tcp_flags=0x10), True),
        (packet("web1", "fast1", tcp_flags=0x10), False),
        (packet("db1", "web1", protocol=SCTP), True),
        (packet("db1", "web1", tcp_flags=0x10), False),
    ]
    for one, answer in shapes:
        assert answers(INVENTORY, one, Tracked.NEW) is answer, one
    assert not answers(INVENTORY, packet("fast1", "web1"), Tracked.REPLY), "what is tracked does not count there"
    assert answers(INVENTORY, packet("db1", "web1"), Tracked.REPLY)


def test_a_broadcast_answers_nothing() -> None:
    """What is for everybody passes only by its own right."""
    rules = acl("no", DROP, source=Peer(vm="fast1")), acl("yes", ALLOW, destination=Peer(vm="fast1"))
    assert verdict(packet("fast1", None, protocol=UDP, broadcast=True), *rules) is DROP
    assert verdict(packet("fast1", None, protocol=UDP), *rules) is ALLOW


def test_rules_in_observe_decide_nothing_and_are_named() -> None:
    """Named is what would drop as the first match, unless the packet answers what is allowed."""
    trial = acl("trial", DROP, destination=Peer(vm="lab1"), mode=Mode.OBSERVE)
    ask = packet("web1", "lab1")
    assert verdict(ask, trial) is ALLOW
    assert observe(INVENTORY, EMPTY, (trial,), ask) == ("trial",)
    assert observe(INVENTORY, EMPTY, (trial, acl("first", ALLOW, rank=2000)), ask) == ()
    assert observe(INVENTORY, EMPTY, (trial, acl("first", DROP, rank=2000)), ask) == ()
    assert observe(INVENTORY, EMPTY, (trial,), packet("web1", "lab1"), Tracked.REPLY) == ("trial",), "lab1 may not open"
    opening = acl("open", ALLOW, source=Peer(vm="lab1"))
    assert observe(INVENTORY, EMPTY, (trial, opening), ask, Tracked.REPLY) == ()


def test_reversing_twice_is_nothing() -> None:
    """Ends, addresses and ports change places."""
    ask = packet("web1", "db1")
    assert reverse(reverse(ask)) == ask
    assert (reverse(ask).source, reverse(ask).source_port) == ("db1", 5432)
