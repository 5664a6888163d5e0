"""The report page of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.page import Page

from mininet_labs import judge, page
from mininet_labs.agent.journal import Failure
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.crew import Work
from mininet_labs.evidence import Evidence, Moment, Release, Strike, answered, superseded_by
from mininet_labs.instruments import Echo, Probe, Watch
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories

RULE: dict[str, Any] = {
    "id": "0123456789ab",
    "action": "isolate",
    "state": "released",
    "source_vm": "web1",
    "source_ip": None,
    "created": 101.0,
    "enforced_at": 101.1,
    "released_at": 110.0,
    "risk": 97.0,
    "reasons": ["scan: tried 132 services <script>"],
}


STEP = RULE | {
    "id": "fedcba987654",
    "action": "restrict",
    "created": 100.7,
    "enforced_at": 100.8,
    "released_at": 101.1,
    "reasons": ["probing: 7 services"],
}


def evidence_of_a_scan() -> Evidence:
    """A scan that is answered by a restriction and, half a second later, by the isolation that stands for it."""
    watch = Watch((100.5, 103.0), (), (100.6, 101.0), (100.6, 101.0), 0)
    strike = Strike(Attack("scan", "web1", ("db1",), (), ""), 100.0, 105.0, watch, RULE)
    probes = [Probe(90.0 + n / 100, 90.0, None if 1100 < n < 2000 else 91.0) for n in range(3000)]
    return Evidence(
        started=50.0,
        enforcing=55.0,
        ended=130.0,
        strikes=(strike,),
        releases=(Release(RULE["id"], "web1", 110.0),),
        barred=(),
        probes={"web4>app4": probes, "web1>db2": probes},
        innocent=("web4>app4",),
        echo=Echo(500, 500, 12.0, 3.0, 70.0, 0),
        work=Work({"pages": 10}, (Failure("pages", "web1", "app1", 102.0, 103.0, "timed out"),)),
        rules=(STEP, RULE),
        audit=(
            {"seq": 1, "ts": 101.0, "actor": "analyzer", "kind": "rule", "body": {"rule": "x"}, "hash": "ab"},
            {
                "seq": 2,
                "ts": 101.1,
                "actor": "engine",
                "kind": "released",
                "body": {"rule": STEP["id"], "superseded_by": RULE["id"]},
                "hash": "cd",
            },
        ),
        risk=({"time": 100.9, "vm": "web1", "risk": 97.0, "behaviour": "scan"},),
        moments=(Moment(99.0, "baseline learned"),),
        hits=(
            {
                "rule": "app-uses-databases",
                "kind": "policy",
                "action": "allow",
                "mode": "enforce",
                "packets": {"allowed": 12345, "answers": 7, "denied": 0, "observed": 0},
            },
        ),
        explained=(),
        audit_verified=True,
        audit_words="1 record",
    )


def rendered(evidence: Evidence) -> str:
    checks = judge.findings(evidence)
    inventory = inventories.load(ENTERPRISE / "inventory.yaml")
    return page.render(inventory, evidence, checks, judge.summary(evidence, checks))


def test_the_page_shows_attack_rule_and_release_and_fetches_nothing() -> None:
    """Names, rule, reasons and checks are there; what came from the network is escaped."""
    html = rendered(evidence_of_a_scan())
    reasons = "tried 132 services &lt;script&gt;"
    for text in ("web1", "stranger", RULE["id"], reasons, "baseline learned", "leaf3", "12,345"):
        assert text in html
    assert "services <script>" not in html
    assert [link for link in Page(html).addresses if link and not link.startswith(("#", "data:"))] == []


def test_each_step_of_the_answer_answers_the_attack() -> None:
    """A restriction ahead of the isolation is no false rule, and its end no release."""
    evidence = evidence_of_a_scan()
    text = Page(rendered(evidence)).text
    assert "a false rule" not in text
    assert f"stronger: {RULE['id'][:8]}" in text
    assert answered(evidence, STEP) is answered(evidence, RULE) is evidence.strikes[0]
    assert superseded_by(evidence, STEP) == RULE["id"]
    assert superseded_by(evidence, RULE) is None


def test_a_rule_before_the_attack_or_after_the_release_answers_nothing() -> None:
    """Whoever was not hostile then was restricted for nothing."""
    evidence = evidence_of_a_scan()
    for created in (99.0, 111.0):
        assert answered(evidence, STEP | {"created": created}) is None
    assert answered(evidence, STEP | {"source_vm": "web4"}) is None
    early = replace(evidence, rules=(STEP | {"created": 99.0}, RULE))
    assert "nothing: a false rule" in Page(rendered(early)).text
