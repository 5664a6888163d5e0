"""Rules that have nothing to decide: named only where that is so."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import networks
from support.policies import packets, policies

from policies.acl import Acl, Peer, Policy
from policies.document import read
from policies.reference import Tracked, decide
from policies.rules import Tier, Verdict
from policies.shadow import shadowed
from policies.terms import Terms
from topology.inventory import parse

NET = parse(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)
WIDE = "- {name: wide, action: deny, from: {segment: web}, to: any, priority: 2000}\n"


def remarks(rules: str, lists: str = "") -> tuple[str, ...]:
    return read(f"{lists}rules:\n{rules}", NET, lambda _: ()).remarks


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_without_a_rule_that_decides_nothing_everything_is_as_with_it(data: st.DataObject) -> None:
    """For any packet, whether it opens a connection or answers one."""
    inventory = data.draw(networks(plain=False))
    policy = data.draw(policies(inventory, most=8))
    for acl, first in shadowed(policy, inventory):
        assert acl is not first
        rest = replace(policy, acls=tuple(one for one in policy.acls if one is not acl))
        for _ in range(5):
            _, _, packet = data.draw(packets(inventory))
            for tracked in (Tracked.NEW, Tracked.REPLY):
                whole, less = (decide(inventory, one, (), packet, tracked) for one in (policy, rest))
                assert whole.verdict is less.verdict


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("- {name: r, action: allow, from: {vm: web1}, to: {segment: db}}\n", True),
        ("- {name: r, action: deny, from: {vm: web1}, to: {vm: db1}, service: [{protocol: tcp, ports: [80]}]}\n", True),
        ("- {name: r, action: deny, from: {segment: web}, to: any, priority: 2000}\n", True),
        ("- {name: r, action: allow, from: {segment: db}, to: any}\n", False),
        ("- {name: r, action: allow, from: any, to: {segment: db}}\n", False),
        ("- {name: r, action: allow, from: {vm: web1}, to: any, priority: 2001}\n", False),
        ("- {name: r, action: allow, from: {vm: web1}, to: any, tier: operator}\n", False),
    ],
)
def test_an_author_is_told(rule: str, told: bool) -> None:
    """Of a rule behind a wider one, or the same as one; not of one that is asked first or means more."""
    found = remarks(WIDE + rule)
    assert len(found) == told
    if told:
        assert "rule r has nothing to decide: wide (line 2) decides all that it matches" in found[0]
        assert found[0].startswith("policy:3: rules.1")


def test_rules_for_a_time_leave_others_something() -> None:
    """When they are over, the others decide."""
    wide, narrow = (Acl(name, Tier.POLICY, Verdict.DROP, Peer(), Peer(segment="db")) for name in ("wide", "narrow"))
    acls = (replace(wide, rank=2000), narrow)
    assert len(list(shadowed(Policy(acls=acls), NET))) == 1
    assert list(shadowed(Policy(acls=acls, terms={"wide": Terms(expires=2e9)}), NET)) == []
    assert len(list(shadowed(Policy(acls=acls, terms={"narrow": Terms(expires=2e9)}), NET))) == 1


def test_a_rule_about_an_empty_list_is_told() -> None:
    """It matches nobody until somebody fills the list."""
    found = remarks("- {name: r, action: deny, from: {list: nobody}, to: any}\n", "lists: {nobody: {networks: []}}\n")
    assert ["rule r matches nobody: list nobody is empty" in one for one in found] == [True]


def test_a_long_policy_is_looked_through_in_a_moment() -> None:
    """Ten thousand rules of some hundred networks."""
    peers = [Peer(nets=(ip_network(f"198.18.{n // 256}.{n % 256}/32"),)) for n in range(200)]
    acls = tuple(
        Acl(f"r{n}", Tier.POLICY, Verdict.DROP, peers[n % 200], Peer(vm="db1"), rank=n % 3000) for n in range(10_000)
    )
    began = time.process_time()
    assert len(list(shadowed(Policy(acls=acls), NET))) == 10_000 - 200
    assert time.process_time() - began < 5.0
