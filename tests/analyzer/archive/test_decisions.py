"""What is said of a flow's fate, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from support.archived import NET, flow, judged
from support.telemetry import START

from analyzer.archive.decisions import REMEMBERED_SECONDS, Decision, InForce
from analyzer.flows import ANSWERS_SHIFT, Fate, FlowState
from analyzer.names import Names

SILENT: dict[str, Any] = {"dst_pkts": 0, "dst_bytes": 0}


HERE = Fate.FORWARDED | Fate.DELIVERED


def fate(opening: int, answers: int = 0, *, cut: bool = False) -> int:
    """What VFNs said of both directions."""
    return int(opening) | int(answers) << ANSWERS_SHIFT | (int(Fate.CUT) if cut else 0)


def isolate(vm: str = "web1", scope: str = "all", rule: str = "iso") -> dict[str, Any]:
    return {"id": rule, "action": "isolate", "source_vm": vm, "scope": scope, "source_ip": None}


def deny(network: str, rule: str = "den", action: str = "deny") -> dict[str, Any]:
    return {"id": rule, "action": action, "source_vm": None, "scope": "all", "source_ip": network}


def decide(rules: InForce, *flows: Any) -> list[tuple[str, str | None]]:
    """Decision and rule of each flow."""
    parts = judged(flows).parts
    found = rules.decide(parts.rows, parts.opened)
    named = [None if rule < 0 else found.rules[rule] for rule in found.rule.tolist()]
    return [(Decision(decision).name.lower(), rule) for decision, rule in zip(found.decision, named, strict=True)]


@pytest.fixture
def rules() -> InForce:
    return InForce(Names(NET))


def test_without_rules_an_answer_is_all_the_evidence(rules: InForce) -> None:
    """Answered: allowed; not answered: unknown, for it may be lost; only answers seen: unknown."""
    only_answers = flow(src_pkts=0, src_bytes=0)
    assert decide(rules, flow(), flow(**SILENT), only_answers) == [
        ("allowed", None),
        ("unknown", None),
        ("unknown", None),
    ]


def test_forged_sources_are_denied(rules: InForce) -> None:
    """The guard lets nothing of them pass."""
    assert decide(rules, flow(state=int(FlowState.SPOOFED), **SILENT)) == [("denied", None)]


def test_an_isolated_vm_is_denied_from_the_rule_on(rules: InForce) -> None:
    """At either end; a flow that was open before keeps what is known of it, and names the rule that cut it."""
    rules.update([isolate()], START + 100)
    assert decide(
        rules,
        flow("web1", "db1", at=110),
        flow("db1", "web1", at=110, **SILENT),
        flow("web1", "db1", at=110, seconds=50),
        flow("web1", "db1", at=110, seconds=50, **SILENT),
        flow("web1", "db1", at=90),
        flow("web2", "db1", at=110),
    ) == [
        ("denied", "iso"),
        ("denied", "iso"),
        ("allowed", "iso"),
        ("unknown", "iso"),
        ("allowed", None),
        ("allowed", None),
    ]


def test_the_scope_other_segments_leaves_the_own_segment_alone(rules: InForce) -> None:
    """web1 may still talk to web2, not to db1."""
    rules.update([isolate(scope="other_segments")], START)
    assert decide(rules, flow("web1", "web2", at=9), flow("web1", "db1", at=9)) == [
        ("allowed", "iso"),
        ("denied", "iso"),
    ]


def test_a_rule_that_has_ended_still_explains_its_time(rules: InForce) -> None:
    """Flows are recorded seconds after their end: one of the rule's time is denied, a later one is not."""
    rules.update([isolate()], START)
    rules.update([], START + 100)
    assert decide(rules, flow(at=99), flow(at=101)) == [("denied", "iso"), ("allowed", None)]
    rules.update([], START + 100 + REMEMBERED_SECONDS + 1)
    assert decide(rules, flow(at=99)) == [("allowed", None)]


def test_a_rule_keeps_its_beginning_and_a_new_one_takes_over(rules: InForce) -> None:
    """Every message tells all rules: one that was there before is as old as it was."""
    rules.update([isolate()], START)
    rules.update([isolate(), deny("203.0.113.66/32")], START + 50)
    assert decide(rules, flow(at=60, seconds=30)) == [("denied", "iso")]
    rules.update([isolate(rule="new")], START + 70)
    assert decide(rules, flow(at=80)) == [("denied", "new")]


@pytest.mark.parametrize("network", ["203.0.113.66/32", "203.0.113.0/24", "2001:db8::/32", "2001:db8::66/128"])
def test_denied_addresses_are_denied_both_ways(rules: InForce, network: str) -> None:
    """One address or a network of either family; the neighbours are not meant."""
    inside, outside = ("2001:db8::66", "2001:db9::1") if ":" in network else ("203.0.113.66", "203.0.114.66")
    rules.update([deny(network)], START)
    flows = [flow(inside, "web1", at=9), flow("web1", inside, at=9), flow("web1", outside, at=9)]
    assert decide(rules, *flows) == [("denied", "den"), ("denied", "den"), ("allowed", None)]


def test_where_an_allow_may_outrank_a_deny_only_answers_count(rules: InForce) -> None:
    """An operator's allow for some of the addresses: silence says nothing, an answer says that it passed."""
    rules.update([deny("203.0.113.0/24"), deny("203.0.113.66/32", "yes", "allow")], START)
    assert decide(rules, flow("web1", "203.0.113.66", at=9), flow("web1", "203.0.113.66", at=9, **SILENT)) == [
        ("allowed", "den"),
        ("unknown", "den"),
    ]


@pytest.mark.parametrize(
    ("told", "silent", "decision"),
    [
        (fate(HERE), True, "allowed"),
        (fate(HERE, Fate.DROPPED), False, "allowed"),  # its answers were looked up, and passed
        (fate(Fate.FORWARDED), True, "unknown"),
        (fate(Fate.FORWARDED), False, "allowed"),
        (fate(Fate.DROPPED), True, "denied"),
        (fate(Fate.FORWARDED | Fate.STOPPED), True, "denied"),
        (fate(Fate.DROPPED, Fate.DROPPED), False, "denied"),  # both talk, neither is heard
        (fate(Fate.DROPPED, HERE), False, "allowed"),  # so the other end opened it
        (fate(Fate.DROPPED, HERE, cut=True), False, "denied"),  # a rule came, and the server does not know yet
        (fate(Fate.DROPPED, Fate.FORWARDED | Fate.STOPPED), False, "denied"),
    ],
)
def test_what_vfns_say_decides(rules: InForce, told: int, silent: bool, decision: str) -> None:
    """The initiator's packets count; where they are dropped, but the other end's pass, they answer those."""
    assert decide(rules, flow(fate=told, **(SILENT if silent else {}))) == [(decision, None)]


def test_dropped_answers_alone_tell_nothing(rules: InForce) -> None:
    """They may have passed as what they are."""
    assert decide(rules, flow(fate=fate(0, Fate.DROPPED), src_pkts=0, src_bytes=0)) == [("unknown", None)]


def test_the_switch_knows_better_than_the_list_of_rules(rules: InForce) -> None:
    """What was handed over was not denied, whatever is in force; what a VFN said nothing of, the rule explains."""
    rules.update([isolate()], START)
    own = flow(at=9, fate=fate(HERE))
    to_it = flow("db1", "web1", at=9, seconds=50, fate=fate(0, Fate.DROPPED), src_pkts=0)
    assert decide(rules, own, to_it) == [("allowed", "iso"), ("denied", "iso")]


def test_flows_that_a_change_of_rules_is_about_are_known(rules: InForce) -> None:
    """Those of ends whose rule began or ended; not those of a rule that goes on."""
    rows = judged(
        [flow("web1", "db1"), flow("db1", "web1"), flow("web2", "db1"), flow("203.0.113.66", "web2")]
    ).parts.rows
    rules.update([isolate()], START)
    assert rules.touched_by_change(rows).tolist() == [True, True, False, False]
    rules.update([isolate(), deny("203.0.113.0/24")], START + 1)
    assert rules.touched_by_change(rows).tolist() == [False, False, False, True]
    rules.update([deny("203.0.113.0/24")], START + 2)
    assert rules.touched_by_change(rows).tolist() == [True, True, False, False]
    rules.update([deny("203.0.113.0/24")], START + 3)
    assert not rules.touched_by_change(rows).any()
