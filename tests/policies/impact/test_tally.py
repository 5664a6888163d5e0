"""What a policy would do to recorded flows: counted by classes, and exactly what the reference says of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import OUTSIDE_ADDRESSES, networks, rules_for
from support.policies import PORTS, policies
from support.recorded import Flow, columns

from policies.acl import Acl, Mode, Peer, Policy, Service
from policies.impact import ends
from policies.impact.flows import FlowColumns
from policies.impact.tally import Impact, Outcome, Rules, Tally, impact_json
from policies.reference import ICMP, SCTP, TCP, UDP, Tracked, decide
from policies.rules import Protocol, Tier, Verdict
from policies.terms import Schedule, Terms
from policies.translate import acls_in, translate
from topology.addresses import addresses_of
from topology.inventory import parse
from topology.model import OUTSIDE, Inventory

MONDAY = 1_800_000_000.0 - 1_800_000_000.0 % (7 * 86400) + 4 * 86400
"""Midnight of a Monday, UTC."""
INVENTORY = parse(
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)
SQL = Acl(
    "sql", Tier.POLICY, Verdict.ALLOW, Peer(segment="web"), Peer(vm="db1"), (Service(Protocol.TCP, ((443, 443),)),)
)
TO_DB = Flow("web1", "db1", "10.0.0.1", "10.0.0.3")
OUT = Flow("web2", None, "10.0.0.2", "192.0.2.7")


@st.composite
def flows(draw: st.DrawFn, inventory: Inventory) -> Flow:
    """A flow between any two ends; rarely forged, or for everybody."""
    vms = list(inventory.vms.values())
    family = draw(st.sampled_from((4, 6)))
    strangers = [address for address in OUTSIDE_ADDRESSES if address.version == family]
    ends: list[tuple[str | None, str]] = [
        (vm.name, str(address)) for vm in vms for address in addresses_of(vm) if address.version == family
    ]
    ends += [(None, str(address)) for address in strangers]
    (source, source_ip), (destination, destination_ip) = (draw(st.sampled_from(ends)) for _ in range(2))
    everybody = draw(st.integers(0, 9)) == 0
    if everybody:
        destination, destination_ip = None, "255.255.255.255" if family == 4 else "ff02::1"
    proto = draw(st.sampled_from((TCP, TCP, UDP, SCTP, ICMP[family], 47)))
    ports = [draw(st.sampled_from(PORTS)) if proto in (TCP, UDP, SCTP) else 0 for _ in range(2)]
    opened = MONDAY + draw(st.sampled_from((0, 9 * 3600, 12 * 3600, 30 * 3600)))
    forged = draw(st.integers(0, 9)) == 0
    first = draw(st.integers(0, 4)) > 0
    return Flow(
        source, destination, source_ip, destination_ip, proto, ports[0], ports[1], opened, first, forged, everybody
    )


@st.composite
def timed(draw: st.DrawFn, inventory: Inventory) -> Policy:
    """A policy of which some rules have hours or an end."""
    policy = draw(policies(inventory))
    office = Schedule(frozenset(range(5)), time(8), time(12), ZoneInfo("UTC"))
    terms = st.sampled_from((None, None, Terms(schedule=office), Terms(expires=MONDAY + 10 * 3600)))
    chosen = {acl.rule_id: draw(terms) for acl in policy.acls}
    return replace(policy, terms={name: one for name, one in chosen.items() if one is not None})


def expected(inventory: Inventory, before: Rules, after: Rules, found: FlowColumns) -> tuple[Counter, Counter]:
    """By the reference, flow by flow: counts of groups, and of what each rule decides."""
    groups: Counter = Counter()
    used: Counter = Counter()
    outcomes = {(1, 1): "permitted", (1, 0): "would be dropped", (0, 1): "newly allowed", (0, 0): "denied as before"}
    for row in range(len(found)):
        if found.forged[row] or not found.first[row]:
            continue
        packet, now = found.packet(row), float(found.opened[row])
        old, new, watched = (
            decide(inventory, rules.policy.at(now), rules.issued, packet, Tracked.NEW, observed=observed)
            for rules, observed in ((before, False), (after, False), (after, True))
        )
        segments = [
            "everybody" if packet.broadcast and end == "destination" else segment(inventory, getattr(packet, end))
            for end in ("source", "destination")
        ]
        outcome = outcomes[old.verdict is Verdict.ALLOW, new.verdict is Verdict.ALLOW]
        groups[*segments, packet.protocol, packet.destination_port, outcome] += 1
        used.update({acl.rule_id for acl in new.judgement.acls})
        used.update({acl.rule_id for acl in watched.judgement.acls if acl.mode is Mode.OBSERVE})
    return groups, used


def segment(inventory: Inventory, vm: str | None) -> str:
    return OUTSIDE if vm is None else inventory.vms[vm].segment


NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": 1, "icmpv6": 58, "47": 47}


def counted(impact: Impact) -> Counter:
    found: Counter = Counter()
    for group in impact.groups:
        name, _, port = group.service.partition("/")
        found[group.source, group.destination, NUMBERS[name], int(port or 0), group.outcome.value] += group.flows
    return +found


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_every_flow_is_counted_as_the_reference_decides(data: st.DataObject) -> None:
    """Policies of all tiers with lists, hours and observation, beside rules of the moment; flows in two pieces."""
    inventory = data.draw(networks(plain=False))
    firewall = (one for rule in data.draw(rules_for(inventory)) for one in translate(rule, inventory))
    issued = tuple(dict.fromkeys(acls_in(firewall)))
    before, after = Rules(data.draw(timed(inventory)), issued), Rules(data.draw(timed(inventory)), issued)
    rows = data.draw(st.lists(flows(inventory), min_size=1, max_size=40))
    tally = Tally(inventory, before, after)
    cut = len(rows) // 2
    for piece in (rows[:cut], rows[cut:]):
        tally.add(columns(piece))
    impact = tally.result()
    groups, used = expected(inventory, before, after, columns(rows))
    assert counted(impact) == groups
    policy_rules = {acl.rule_id for acl in after.policy.acls}
    assert {use.rule: use.flows for use in impact.rules} == {name: used[name] for name in policy_rules}
    assert impact.forged == sum(flow.first and flow.forged for flow in rows)


def impact_of(rows: list[Flow], before: Policy, after: Policy) -> Impact:
    tally = Tally(INVENTORY, Rules(before), Rules(after))
    tally.add(columns(rows))
    return tally.result()


def test_what_is_newly_allowed_or_dropped_is_shown_with_a_flow_and_its_vms() -> None:
    """By segments and service; parts of a flow add bytes and are no flow of their own."""
    deny = Acl("no", Tier.POLICY, Verdict.DROP, Peer(vm="web2"), Peer(segment=OUTSIDE))
    rows = [TO_DB, replace(TO_DB, first=False), OUT, replace(OUT, source="web1", source_ip="10.0.0.1")]
    impact = impact_of(rows, Policy(), Policy(1, (SQL, deny)))
    told = [(group.source, group.destination, group.outcome, group.flows, group.bytes) for group in impact.groups]
    assert sorted(told) == [
        ("web", "db", Outcome.ALLOWED, 1, 400),
        ("web", OUTSIDE, Outcome.PERMITTED, 1, 200),
        ("web", OUTSIDE, Outcome.DROPPED, 1, 200),
    ]
    assert impact.vms == ("db1", "web1", "web2")
    shown = impact_json(impact, 2)
    assert [(group["outcome"], group["flows"]) for group in shown["groups"]] == [
        ("would be dropped", 1),
        ("newly allowed", 1),
    ]
    example = {"time": 0.0, "source": "web2 10.0.0.2", "destination": "192.0.2.7", "source_port": 50000, "port": 443}
    assert (shown["groups"][0]["example"], shown["more"]) == (example, 1)


def test_rules_that_nothing_met_are_named() -> None:
    """Those in observe count what they would decide."""
    unused = replace(SQL, rule_id="unused", destination=Peer(vm="web2"))
    watch = Acl("watch", Tier.POLICY, Verdict.DROP, Peer(vm="web2"), mode=Mode.OBSERVE)
    impact = impact_of([TO_DB, OUT], Policy(), Policy(1, (SQL, unused, watch)))
    assert [(use.rule, use.flows, use.denied) for use in impact.rules] == [
        ("sql", 1, 0),
        ("unused", 0, 0),
        ("watch", 1, 1),
    ]
    assert impact_json(impact, 9)["never_used"] == ["unused"]
    assert impact.flows(Outcome.DROPPED) == 0


def test_flows_of_vms_that_are_gone_are_told_apart() -> None:
    """What a policy would do to them nobody can say."""
    impact = impact_of([replace(TO_DB, source="old1"), TO_DB], Policy(), Policy())
    assert (impact.unknown, sum(group.flows for group in impact.groups)) == (1, 1)


@pytest.mark.parametrize("rows", [[], [replace(TO_DB, forged=True)]])
def test_nothing_to_count_is_no_mistake(rows: list[Flow]) -> None:
    """No flow, or none that a policy decides about."""
    impact = impact_of(rows, Policy(), Policy(1, (SQL,)))
    assert (impact.groups, impact.vms, [use.flows for use in impact.rules]) == ((), (), [0])


def test_ends_are_told_apart_alike_however_many_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """By marks in an array, or by hashes where the array would be too large."""
    rows = [TO_DB, OUT, replace(TO_DB, source="web2", source_ip="10.0.0.2"), replace(OUT, destination_ip="2001:db8::7")]
    marked = impact_of(rows * 3, Policy(), Policy(acls=(SQL,)))
    monkeypatch.setattr(ends, "_MOST_MARKED", 0)
    assert impact_of(rows * 3, Policy(), Policy(acls=(SQL,))) == marked
