"""Which rules come into force."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from policies.admission import Admitted, Ground, Refused, admit
from policies.rules import Action, Protocol, Scope, SegmentationRule
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


def judge(rule: SegmentationRule, *live: SegmentationRule) -> Ground | None:
    decision = admit(replace(rule, id="f" * 12), INVENTORY, live, NOW, EngineSettings(evidence_seconds=60))
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
    decision = admit(OWN, INVENTORY, [replace(OWN, id="e" * 12)], NOW, EngineSettings())
    assert isinstance(decision, Refused)
    assert decision.live_rule == "e" * 12
    assert "e" * 12 in decision.reason
