"""Which rules come into force."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from policies import acl
from policies.acl import Acl, Policy
from policies.admission import Admitted, Ground, Merged, Refused, Situation, admit
from policies.lifecycle import RuleRecord
from policies.rules import Action, Peer, Protocol, RuleState, Scope, SegmentationRule, Tier, Verdict
from policies.terms import Terms
from runtime.settings import EngineSettings
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  dns1: {segment: web, vfn: v1, port: n1, mac: '02:00:00:00:00:02', addresses: [10.0.0.2], protected: true}\n"
)
NOW = 1000.0
AUTO = SegmentationRule(
    "a" * 12, Action.ISOLATE, "analyzer", NOW, source_vm="web1", evidence_time=NOW - 1, expires=NOW + 600
)
OWN = SegmentationRule("b" * 12, Action.ISOLATE, "anna", NOW, source_vm="web1")
ALLOW = SegmentationRule(
    "c" * 12, Action.ALLOW, "anna", NOW, source_ip=ip_network("192.0.2.1"), destination_vm="web1", port=80,
    protocol=Protocol.TCP,
)  # fmt: skip
DENY = SegmentationRule("d" * 12, Action.DENY, "analyzer", NOW, source_ip=ip_network("192.0.2.1"), expires=NOW + 600)


def situation(*live: SegmentationRule, **more: Any) -> Situation:
    """These rules are enforced, and nothing else is known."""
    about = [RuleRecord(rule, RuleState.ENFORCED, NOW, enforced_at=NOW) for rule in live]
    sizes = dict(Counter(vm.segment for vm in INVENTORY.vms.values()))
    given = {"settings": EngineSettings(evidence_seconds=60), "about": about, "sizes": sizes, **more}
    return Situation(INVENTORY, given.pop("settings"), NOW, **given)


def judge(rule: SegmentationRule, *live: SegmentationRule) -> Ground | None:
    decision = admit(replace(rule, id="f" * 12), situation(*live))
    if isinstance(decision, Merged):
        return Ground.DUPLICATE
    if isinstance(decision, Refused):
        assert decision.reason
        assert decision.remedy
        return decision.ground
    assert isinstance(decision, Admitted)
    assert decision.vfns
    return None


@pytest.mark.parametrize(
    ("rule", "ground"),
    [
        (AUTO, None),
        (OWN, None),
        (ALLOW, None),
        (DENY, None),
        (replace(AUTO, source_vm="dns1"), Ground.PROTECTED),
        (replace(OWN, source_vm="dns1"), Ground.PROTECTED),
        (replace(OWN, source_vm="dns1", scope=Scope.OTHER_SEGMENTS), Ground.PROTECTED),
        (replace(OWN, source_vm="web2"), Ground.MEANINGLESS),
        (replace(AUTO, evidence_time=NOW - 61), Ground.STALE),
        (replace(AUTO, evidence_time=NOW + 61), Ground.STALE),
        (replace(AUTO, evidence_time=NOW - 60), None),
        (replace(AUTO, expires=NOW), Ground.EXPIRED),
        (replace(ALLOW, issuer="analyzer"), Ground.UNENTITLED),
    ],
)
def test_a_rule_by_itself(rule: SegmentationRule, ground: Ground | None) -> None:
    """Protected, unknown, stale, expired and unentitled ones are refused on that ground, the others admitted."""
    assert judge(rule) is ground


OTHERS = Scope.OTHER_SEGMENTS


@pytest.mark.parametrize(
    ("live", "new", "duplicate"),
    [
        (AUTO, AUTO, True),
        (OWN, AUTO, True),
        (OWN, OWN, True),
        (AUTO, OWN, False),  # a person's lasts longer
        (AUTO, replace(OWN, expires=NOW + 60), True),
        (AUTO, replace(OWN, expires=NOW + 6000), False),
        (replace(AUTO, expires=None), OWN, True),
        (replace(OWN, scope=OTHERS), OWN, False),  # more than what is in force
        (OWN, replace(OWN, scope=OTHERS), True),
        (replace(OWN, source_vm="dns1"), OWN, False),
        (ALLOW, ALLOW, True),
        (ALLOW, replace(ALLOW, port=443), False),
        (replace(ALLOW, port=None), ALLOW, True),
        (replace(ALLOW, port=None, protocol=Protocol.ANY), ALLOW, True),
        (ALLOW, replace(ALLOW, port=None), False),
        (ALLOW, replace(ALLOW, source_ip=ip_network("192.0.2.0/24")), False),
        (DENY, DENY, True),
        (DENY, replace(DENY, issuer="anna"), False),  # a person's stands higher
        (replace(DENY, issuer="anna"), DENY, True),
        (ALLOW, replace(DENY, issuer="anna"), False),
    ],
)
def test_what_is_in_force_already_is_not_issued_again(live, new, duplicate) -> None:
    """A rule is refused when one in force has all of its effect, its rank, and, for a person's, its time."""
    assert judge(new, live) is (Ground.DUPLICATE if duplicate else None)


def test_a_duplicate_names_the_rule_in_force() -> None:
    """The refusal leads to the rule that is there."""
    decision = admit(OWN, situation(replace(OWN, id="e" * 12)))
    assert isinstance(decision, Refused)
    assert decision.live_rule == "e" * 12
    assert "e" * 12 in decision.reason


def test_what_a_higher_tier_decides_is_refused_unless_it_ends_first() -> None:
    """A deny after an emergency rule for good has nothing to do; one with an end, or one that counts, is no reason."""
    for action in (Verdict.ALLOW, Verdict.DROP):
        above = Acl("open-all", Tier.EMERGENCY, action)
        decision = admit(DENY, situation(policy=Policy(acls=(above,))))
        assert isinstance(decision, Refused)
        assert decision.ground is Ground.SHADOWED
        assert "open-all (emergency" in decision.reason
        ending = Policy(acls=(above,), terms={"open-all": Terms(expires=NOW + 1)})
        for policy in (ending, Policy(acls=(replace(above, mode=acl.Mode.OBSERVE),))):
            assert isinstance(admit(DENY, situation(policy=policy)), Admitted)
        cut = admit(AUTO, situation(policy=Policy(acls=(above,))))
        assert isinstance(cut, Admitted), "a port that is cut is ahead of every tier"


def test_an_opening_to_a_vm_that_is_cut_off_is_refused_while_that_lasts() -> None:
    """Unless it is to stand for longer than the isolation."""
    isolated = replace(OWN, scope=OTHERS, id="e" * 12)
    assert isinstance(admit(replace(ALLOW, expires=NOW + 60), situation(replace(isolated, expires=NOW + 30))), Admitted)
    inward = replace(OWN, id="e" * 12)
    decision = admit(replace(ALLOW, expires=NOW + 60), situation(inward))
    assert isinstance(decision, Refused)
    assert decision.ground is Ground.SHADOWED
    assert isinstance(admit(ALLOW, situation(replace(inward, expires=NOW + 30))), Admitted)


def test_an_opening_beside_a_denial_of_the_same_is_refused() -> None:
    """At one rank the denial decides; what opens a part of it alone decides first, and is let in."""
    denial = replace(DENY, issuer="anna", id="e" * 12, source_ip=ip_network("192.0.2.0/24"), expires=None)
    same = replace(ALLOW, issuer="anna", source_ip=ip_network("192.0.2.0/24"))
    decision = admit(same, situation(denial))
    assert isinstance(decision, Refused)
    assert (decision.ground, denial.id in decision.reason) == (Ground.SHADOWED, True)
    assert isinstance(admit(replace(same, source_ip=ip_network("192.0.2.7/32")), situation(denial)), Admitted)


def test_the_same_for_longer_is_merged() -> None:
    """Rules of people, or of the analyzer, take each other in; the later end holds, and newer evidence."""
    short = replace(OWN, id="e" * 12, expires=NOW + 10)
    decision = admit(replace(OWN, expires=NOW + 99), situation(short))
    assert isinstance(decision, Merged)
    assert (decision.rule.id, decision.rule.expires) == ("e" * 12, NOW + 99)
    again = admit(AUTO, situation(replace(AUTO, id="e" * 12, expires=NOW + 10), offences=1))
    assert isinstance(again, Merged)
    assert again.rule.expires == NOW + 600


@pytest.mark.parametrize("issuer", ["analyzer", "anna"])
@pytest.mark.parametrize("net", ["192.0.2.53/32", "192.0.2.0/24", "0.0.0.0/0"])
@pytest.mark.parametrize("action", [Action.DENY, Action.RATE_LIMIT])
def test_protected_addresses_are_never_taken_anything(issuer: str, net: str, action: Action) -> None:
    """Neither by themselves nor with a network that holds them; what is beside them may be."""
    protected = EngineSettings(protected=(ip_network("192.0.2.53/32"),))
    rule = replace(DENY, action=action, issuer=issuer, source_ip=ip_network(net))
    decision = admit(rule, situation(settings=protected))
    assert isinstance(decision, Refused)
    assert decision.ground in (Ground.PROTECTED, Ground.MEANINGLESS)
    beside = admit(replace(rule, source_ip=ip_network("192.0.2.54/32")), situation(settings=protected))
    assert isinstance(beside, Admitted)


@pytest.mark.parametrize(
    ("action", "issuer", "refused"),
    [
        (Action.RATE_LIMIT, "analyzer", True),
        (Action.RATE_LIMIT, "anna", False),
        (Action.RESTRICT, "anna", True),
        (Action.RESTRICT, "analyzer", True),
    ],
)
def test_a_protected_vm_is_limited_by_people_only(action: Action, issuer: str, refused: bool) -> None:
    """And restricted by nobody."""
    peers = (Peer(ip_network("10.0.0.0/24")),) if action is Action.RESTRICT else ()
    decision = admit(replace(AUTO, action=action, issuer=issuer, source_vm="dns1", peers=peers), situation())
    assert isinstance(decision, Refused) is refused
