"""A run as the values of the report page (`dashboards.model`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards import model
from dashboards.report import render as render_page
from mininet_labs.evidence import Evidence, Rule, answered, superseded_by
from mininet_labs.instruments import PAIR
from mininet_labs.judge import Finding
from mininet_labs.workload import address
from topology.model import Inventory

AUDIT_ROWS = 60
"""The newest rows of the audit log that the page shows."""


def render(
    inventory: Inventory, evidence: Evidence, checks: tuple[Finding, ...], summary: Mapping[str, Any]
) -> str:  # fmt: skip
    """The page, one self-contained HTML text."""
    report = model.DemoReport(
        title="dynseg: VMs turn hostile, are seen and isolated",
        started=evidence.started,
        ended=evidence.ended,
        summary=summary,
        checks=tuple(model.Check(check.name, check.passed, check.text) for check in checks),
        segments=tuple(model.ReportSegment(s.name, s.default) for s in inventory.segments.values()),
        vfns=tuple(inventory.vfns),
        links=tuple(model.ReportLink(link.a, link.b) for link in inventory.links),
        vms=_vms(inventory, evidence),
        outside=tuple(model.ReportOutside(o.name, o.vfn, address(o)) for o in inventory.outside.values()),
        risk=tuple(
            model.RiskPoint(point["time"], point["vm"], point["risk"], point.get("behaviour") or "")
            for point in evidence.risk
        ),
        rules=tuple(_rule(evidence, rule) for rule in evidence.rules),
        probes=_probes(evidence),
        attacks=tuple(model.AttackSpan(s.attack.name, s.attack.vm, s.start, s.end) for s in evidence.strikes),
        moments=tuple(model.Moment(moment.time, moment.text) for moment in evidence.moments),
        audit=tuple(_audit(row) for row in evidence.audit[-AUDIT_ROWS:]),
        audit_total=len(evidence.audit),
        hits=tuple(_hits(row) for row in evidence.hits if row["kind"] != "segmentation"),
    )
    return render_page(report)


def _hits(row: Mapping[str, Any]) -> model.RuleHits:
    name = f"default of {row['rule']}" if row["kind"] == "default" else row["rule"]
    packets = row["packets"]
    counts = (packets["allowed"], packets["answers"], packets["denied"], packets["observed"])
    return model.RuleHits(name, row["action"], row["mode"], *counts)


def _vms(inventory: Inventory, evidence: Evidence) -> tuple[model.ReportVm, ...]:
    isolations = {rule["source_vm"]: rule for rule in evidence.rules if rule["action"] == "isolate"}
    released = {release.rule for release in evidence.releases}
    found = []
    for vm in inventory.vms.values():
        rule = isolations.get(vm.name)
        found.append(
            model.ReportVm(
                name=vm.name,
                segment=vm.segment,
                vfn=vm.vfn,
                address=address(vm),
                protected=vm.protected,
                isolated_by=None if rule is None else rule["id"],
                released=rule is not None and rule["id"] in released,
            )
        )
    return tuple(found)


def _rule(evidence: Evidence, rule: Rule) -> model.ReportRule:
    strike = answered(evidence, rule)
    return model.ReportRule(
        id=rule["id"],
        action=rule["action"],
        vm=rule["source_vm"] or str(rule.get("source_ip")),
        created=rule["created"],
        enforced=rule["enforced_at"],
        released=rule["released_at"],
        replaced_by=superseded_by(evidence, rule),
        risk=rule["risk"],
        reasons=tuple(rule["reasons"]),
        attack=None if strike is None else strike.attack.name,
    )


def _probes(evidence: Evidence) -> tuple[model.ProbeSeries, ...]:
    """Attackers' probes first."""
    found = []
    for name in sorted(evidence.probes, key=lambda name: name in evidence.innocent):
        probes = evidence.probes[name]
        source, target = name.split(PAIR)
        found.append(
            model.ProbeSeries(
                name=name,
                source=source,
                target=target,
                kind="innocent" if name in evidence.innocent else "attacker",
                times=tuple(probe.sent for probe in probes),
                lost=tuple(probe.returned is None for probe in probes),
            )
        )
    return tuple(found)


def _audit(row: Mapping[str, Any]) -> model.AuditRow:
    words = ", ".join(f"{key} {value}" for key, value in row["body"].items() if value not in (None, "", [], {}))
    return model.AuditRow(row["seq"], row["ts"], row["actor"], row["kind"], words, row["hash"])
