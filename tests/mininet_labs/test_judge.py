"""Judgement: figures and conditions from invented evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mininet_labs import judge
from mininet_labs.agent.journal import Failure
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.crew import Work
from mininet_labs.evidence import (
    Barred,
    Evidence,
    Explained,
    Release,
    Strike,
    false_rules,
    flows_again,
    unexplained_failures,
)
from mininet_labs.instruments import Echo, Probe, Watch


def rule(vm: str = "web1", created: float = 101.0, **more: Any) -> dict[str, Any]:
    return {
        "id": f"rule-{vm}-{created}",
        "action": "isolate",
        "state": "enforced",
        "source_vm": vm,
        "source_ip": None,
        "created": created,
        "enforced_at": created + 0.05,
        "released_at": None,
        "risk": 97.0,
        "reasons": ["scan of 3000"],
        **more,
    }


def hit(kind: str, **packets: int) -> dict[str, Any]:
    return {"kind": kind, "packets": {"allowed": 0, "answers": 0, "denied": 0, "observed": 0, **packets}}


def told(agree: bool = True, **policy: Any) -> dict[str, Any]:
    return {"agree": agree, "policy": {"rule": None, "default": "db", **policy}}


def strike(**more: Any) -> Strike:
    delivered = (100.6, 101.04)
    watch = Watch((100.5, 101.0, 103.0), (99.0,), delivered, delivered, 0)
    attack = Attack("scan", "web1", ("db1",), (), "")
    return replace(Strike(attack, 100.0, 105.0, watch, rule()), **more)


def evidence(**more: Any) -> Evidence:
    back = [Probe(90.0 + 0.01 * n, 90.001 + 0.01 * n, 90.002 + 0.01 * n) for n in range(4000)]
    cut = [replace(p, delivered=None, returned=None) if 101.0 < p.sent < 110.2 else p for p in back]
    good = Evidence(
        started=50.0,
        enforcing=55.0,
        ended=130.0,
        strikes=(strike(),),
        releases=(Release(rule()["id"], "web1", 110.0),),
        barred=(),
        probes={"web4>app4": back, "web1>db2": cut},
        innocent=("web4>app4",),
        echo=Echo(500, 500, 12.0, 3.0, 70.0, 0),
        work=Work({"pages": 10}, ()),
        rules=(rule(),),
        audit=(),
        risk=(),
        moments=(),
        hits=(hit("policy", allowed=9), hit("policy", observed=3), hit("default", denied=5)),
        explained=(Explained("web1 to db1:80", "default of db", told()),),
        audit_verified=True,
        audit_words="40 records",
    )
    return replace(good, **more)


def failed(found: Evidence) -> set[str]:
    return {finding.name for finding in judge.findings(found) if not finding.passed}


def test_a_good_run_passes_and_its_summary_is_json() -> None:
    """Everything holds, and the figures are those of the evidence."""
    checks = judge.findings(evidence())
    assert failed(evidence()) == set()
    summary = json.loads(json.dumps(judge.summary(evidence(), checks)))
    assert summary["passed"] is True
    attack = summary["attacks"][0]
    assert attack["detected"] is True
    assert attack["time_to_contain_s"] == 0.54
    assert attack["packets_forwarded_after_contain"] == 0
    assert attack["attack_packets_sent_after_contain"] == 1
    assert attack["rule"]["reasons"] == ["scan of 3000"]
    assert summary["innocent_probe_loss_percent"] == 0.0
    assert (summary["false_rules"], summary["released_ok"], summary["audit_ok"]) == (0, True, True)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"strikes": (strike(rule=None),)}, "scan: seen"),
        ({"strikes": (strike(rule=rule(reasons=[])),)}, "scan: seen"),
        ({"strikes": (strike(rule=rule(created=100.95)),)}, "scan: contained"),
        ({"strikes": (strike(rule=rule(enforced_at=104.0)),)}, "scan: contained"),
        ({"strikes": (strike(watch=replace(strike().watch, missed=1)),)}, "scan: contained"),
        ({"rules": (rule(), rule("app1"))}, "no false rules"),
        ({"rules": (rule(), rule(created=99.0))}, "no false rules"),
        ({"rules": (rule(), rule(created=111.0))}, "no false rules"),
        ({"rules": (rule(), rule(None, source_ip="10.0.0.0/8"))}, "no false rules"),  # type: ignore[arg-type]
        ({"echo": Echo(500, 500, 101.0, 3.0, 70.0, 0)}, "ryu-manager answers"),
        ({"echo": Echo(0, 0, None, None, 0.0, 0)}, "ryu-manager answers"),
        ({"echo": Echo(500, 500, 9.0, 3.0, 70.0, 1)}, "ryu-manager answers"),
        ({"work": Work({"pages": 10, "queries": 0}, ())}, "workload works"),
        ({"audit_verified": False}, "audit"),
        ({"releases": ()}, "release"),
        ({"probes": {"web4>app4": [Probe(1.0, 1.1, 1.2)], "web1>db2": [Probe(105.0, 105.1, None)]}}, "cuts hold"),
        ({"probes": {"web4>app4": [Probe(1.0, 1.1, 1.2)]}}, "cuts hold"),
    ],
)
def test_each_condition_can_fail(change: dict[str, Any], name: str) -> None:
    """What is wrong is named."""
    assert name in failed(evidence(**change))


def test_a_refused_rule_is_no_false_rule() -> None:
    """A refusal changes nothing in any switch."""
    assert false_rules(evidence(rules=(rule(), rule("dns1", state="refused")))) == []


def test_losses_of_innocents_are_counted_over_all_pairs() -> None:
    """Five of 4,000 probes are 0.125 %: over the limit; four are exactly on it."""
    for lost, passes in ((4, True), (5, False)):
        probes = [Probe(float(n), None if n < lost else n + 0.1, None if n < lost else n + 0.2) for n in range(4000)]
        found = evidence(probes={"web4>app4": probes, "web1>db2": evidence().probes["web1>db2"]})
        assert ("innocent traffic flows" not in failed(found)) is passes


def test_an_innocent_pair_without_probes_is_a_total_loss() -> None:
    """An instrument that measured nothing proves nothing."""
    assert "innocent traffic flows" in failed(evidence(probes={}))


def test_a_released_vm_has_to_talk_soon_and_to_go_on() -> None:
    """The first probe that comes back counts, if those after it do, too."""
    release = evidence().releases[0]
    assert flows_again(evidence(), release) == pytest.approx(0.2, abs=0.02)
    late = [replace(p, returned=None) if p.sent < 116 else p for p in evidence().probes["web1>db2"]]
    assert "release" in failed(evidence(probes={**evidence().probes, "web1>db2": late}))
    stutter = [replace(p, returned=None) if n % 2 else p for n, p in enumerate(evidence().probes["web1>db2"])]
    assert flows_again(evidence(probes={"web1>db2": stutter}), release) is None


def test_failures_of_the_workload_are_excused_by_an_attack_only() -> None:
    """An exchange with a VM that is cut off fails rightly; after its release, or among innocents, it does not."""

    def failure(source: str, target: str, start: float) -> Failure:
        return Failure("pages", source, target, start, start + 1.0, "timed out")

    excused = (failure("web1", "app1", 102.0), failure("app2", "web1", 99.5), failure("app2", "web1", 109.5))
    assert unexplained_failures(evidence(work=Work({"pages": 1}, excused))) == []
    for wrong in (failure("web4", "app1", 102.0), failure("web1", "app1", 98.0), failure("web1", "app1", 112.0)):
        assert len(unexplained_failures(evidence(work=Work({"pages": 1}, (wrong,))))) == 1


@pytest.mark.parametrize(("kind", "what"), [("policy", "allowed"), ("policy", "observed"), ("default", "denied")])
def test_a_policy_that_meets_nothing_is_noticed(kind: str, what: str) -> None:
    """Rules that allow, defaults that deny and rules in observe must each have met packets."""
    hits = tuple(row for row in evidence().hits if not (row["kind"] == kind and row["packets"][what]))
    assert failed(evidence(hits=hits)) == {"policy"}


@pytest.mark.parametrize("answer", [told(agree=False), told(rule="another"), told(default="app")])
def test_an_explanation_that_is_not_right_is_noticed(answer: dict[str, Any]) -> None:
    """Policy, tables and switches have to agree, and on the rule that was meant."""
    assert failed(evidence(explained=(Explained("web1 to db1:80", "default of db", answer),))) == {"explained"}


def test_what_a_harmful_policy_barred_is_no_failure_of_the_workload() -> None:
    """Only the errands that it barred, and only while it did."""
    page = Failure("pages", "web4", "app4", 80.0, 85.0, "timed out")
    query = Failure("queries", "app1", "db1", 80.0, 85.0, "timed out")
    late = Failure("pages", "web4", "app4", 92.0, 95.0, "timed out")
    found = evidence(barred=(Barred(("pages",), 78.0, 90.0),), work=Work({"pages": 9}, (page, query, late)))
    assert [failure.split()[0] for failure in unexplained_failures(found)] == ["queries", "pages"]
