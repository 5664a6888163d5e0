"""Who answers for a flow that is dropped: exactly whoever it would pass without."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import OUTSIDE_ADDRESSES, networks, rules_for
from support.policies import PORTS, policies

from policies.acl import Acl, Policy
from policies.harm import Denied, Subject
from policies.impact.blame import blame
from policies.impact.tally import Rules
from policies.reference import ICMP, TCP, UDP, Packet, Tracked, decide
from policies.rules import Verdict
from policies.translate import acls_in, translate
from topology.addresses import addresses_of
from topology.model import Inventory

_SYN, _ECHO = 2, {4: 8, 6: 128}


@st.composite
def denied(draw: st.DrawFn, inventory: Inventory) -> Denied:
    """A flow between any two ends of one family."""
    family = draw(st.sampled_from((4, 6)))
    ends = [(vm.name, a) for vm in inventory.vms.values() for a in addresses_of(vm) if a.version == family]
    every = [*ends, *((None, a) for a in OUTSIDE_ADDRESSES if a.version == family)]
    (source_vm, source), (destination_vm, destination) = (draw(st.sampled_from(every)) for _ in range(2))
    proto = draw(st.sampled_from((TCP, TCP, UDP, ICMP[family])))
    ports = [draw(st.sampled_from(PORTS)) if proto in (TCP, UDP) else 0 for _ in range(2)]
    return Denied(source_vm, destination_vm, source, destination, proto, ports[0], ports[1], 1, 0.0, 1.0)


def packet(flow: Denied) -> Packet:
    icmp = _ECHO[flow.source.version] if flow.protocol == ICMP[flow.source.version] else None
    ends = (flow.source_vm, flow.destination_vm, flow.source, flow.destination)
    return Packet(*ends, flow.protocol, flow.source_port, flow.port, _SYN if flow.protocol == TCP else 0, icmp)


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_whom_the_reference_lets_a_flow_pass_without(data: st.DataObject) -> None:
    """A rule of the moment, if the policy alone would let it pass; the version, if the one before did."""
    inventory = data.draw(networks(plain=False))
    firewall = (one for rule in data.draw(rules_for(inventory)) for one in translate(rule, inventory))
    issued = tuple(dict.fromkeys(acls_in(firewall)))
    now, before = (data.draw(policies(inventory)) for _ in range(2))
    now = Policy(version=7, acls=now.acls, lists=now.lists)
    flows = data.draw(st.lists(denied(inventory), max_size=30))
    blamed = blame(inventory, Rules(now, issued), before, flows)
    assert len(blamed) == len(flows)
    for flow, subject in zip(flows, blamed, strict=True):
        assert_right(inventory, now, before, issued, flow, subject)


def assert_right(
    inventory: Inventory, now: Policy, before: Policy, issued: tuple[Acl, ...], flow: Denied, subject: Subject | None
) -> None:
    allows = tuple(acl for acl in issued if acl.verdict is Verdict.ALLOW)
    by_now, by_policy, by_before = (
        decide(inventory, policy, some, packet(flow), Tracked.NEW)
        for policy, some in ((now, issued), (now, allows), (before, allows))
    )
    passes = [one.verdict is Verdict.ALLOW for one in (by_now, by_policy, by_before)]
    if passes[0]:
        assert subject is None
    elif passes[1]:
        assert subject is not None
        assert subject.rule in {acl.rule_id for acl in by_now.judgement.acls}
    else:
        assert subject == (Subject(version=7) if passes[2] else None)
