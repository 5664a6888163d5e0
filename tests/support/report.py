"""An invented demo run, for tests of the report page; run as a program it writes the page to a file."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from dashboards.model import (
    AttackSpan,
    AuditRow,
    Check,
    DemoReport,
    Moment,
    ProbeSeries,
    ReportLink,
    ReportOutside,
    ReportRule,
    ReportSegment,
    ReportVm,
    RiskPoint,
)
from dashboards.report import render

START = 1_800_000_000.0
LENGTH = 172.0
RATE = 100.0

SEGMENTS = (ReportSegment("web"), ReportSegment("app"), ReportSegment("db", "deny"), ReportSegment("ops"))
PLACES = {
    "leaf1": ["web1", "web2", "web3", "app1"],
    "leaf2": ["app2", "app3", "db1", "web4"],
    "leaf3": ["db2", "db3", "ops1", "ops2"],
    "core": ["dns1", "jump1"],
}
CUT = {"web1": "3f2a9c01d4e5", "app2": "77b0c1d2e3f4", "db2": "a10b20c30d40"}
ATTACKS = (
    AttackSpan("scan of the db segment", "web1", START + 70, START + 76),
    AttackSpan("brute force on an admin port", "app2", START + 90, START + 97),
    AttackSpan("data pushed outside", "db2", START + 125, START + 134),
)
CONTAINED = (1.42, 1.87, 2.31)
BEHAVIOURS = ("port scan", "brute force", "outbound volume")


@cache
def sample() -> DemoReport:
    """A run in which everything holds."""
    vms = tuple(_vm(name, vfn) for vfn, names in PLACES.items() for name in names)
    rules = (_first_step(), *(_rule(n) for n in range(3)))
    return DemoReport(
        title="dynseg demo: enterprise lab",
        started=START,
        ended=START + LENGTH,
        summary={"attacks": [_entry(n) for n in range(3)], "innocent_probe_loss_percent": 0.004, "audit_ok": True},
        checks=_checks(),
        segments=SEGMENTS,
        vfns=("core", "leaf1", "leaf2", "leaf3"),
        links=tuple(ReportLink("core", f"leaf{n}") for n in (1, 2, 3)),
        vms=vms,
        outside=(ReportOutside("mirror", "core", "192.0.2.10"), ReportOutside("stranger", "core", "203.0.113.66")),
        risk=tuple(_risk([vm.name for vm in vms])),
        rules=rules,
        probes=tuple(_probes()),
        attacks=ATTACKS,
        moments=(
            Moment(START + 3, "VFNs connected and pipeline read back"),
            Moment(START + 52, "baseline learned, judging begins"),
            Moment(START + 108, "analyzer killed (kill -9)"),
            Moment(START + 111, "analyzer is back with its saved baseline"),
            Moment(START + 150, "operator releases web1 through REST"),
        ),
        audit=tuple(_audit()),
        audit_total=214,
    )


def _vm(name: str, vfn: str) -> ReportVm:
    segment = {"dns1": "ops", "jump1": "ops"}.get(name, name.rstrip("0123456789"))
    address = f"10.0.{[s.name for s in SEGMENTS].index(segment) + 1}.{10 + int(name[-1])}"
    return ReportVm(name, segment, vfn, address, name == "dns1", CUT.get(name), name == "web1")


def _rule(number: int) -> ReportRule:
    attack = ATTACKS[number]
    enforced = attack.start + CONTAINED[number]
    reasons = (
        ("412 ports on 3 hosts of segment db within 1.1 s, 3 is usual", "97 % of connections failed"),
        ("38 short sessions to db1:22 within 1.6 s, 0.2 is usual",),
        ("first contact with 203.0.113.66", "41 MB out within 2.0 s, 0.3 MB is usual for <db>"),
    )[number]
    released = START + 150 if number == 0 else None
    return ReportRule(
        CUT[attack.vm], "isolate", attack.vm, enforced - 0.012, enforced, released, 96.0 - number, reasons, attack.name
    )


def _first_step() -> ReportRule:
    """A restriction of web1, for which the isolation stands half a second later."""
    attack = ATTACKS[0]
    enforced = attack.start + 0.9
    over = attack.start + CONTAINED[0] + 0.02
    reasons = ("7 hosts of segment db within 0.4 s, 1 is usual",)
    return ReportRule(
        "5e1f0d2c3b4a", "restrict", "web1", enforced - 0.1, enforced, over, 71.0, reasons, attack.name, CUT["web1"]
    )


def _entry(number: int) -> dict[str, object]:
    attack = ATTACKS[number]
    return {
        "name": attack.name,
        "vm": attack.vm,
        "detected": True,
        "time_to_contain_s": CONTAINED[number],
        "packets_forwarded_after_contain": 0,
    }


def _risk(names: list[str]) -> list[RiskPoint]:
    source, points = random.Random(3), []
    for tick in range(52 * 4, int(LENGTH * 4)):
        time = START + tick / 4
        for name in names:
            risk, behaviour = max(0.0, source.gauss(4, 3)), ""
            for number, attack in enumerate(ATTACKS):
                if attack.vm == name and attack.start + 1.0 <= time <= attack.end + 8:
                    into = time - attack.start
                    risk, behaviour = min(96.0 - number, 60 + 30 * (into - 1.0)), BEHAVIOURS[number]
            points.append(RiskPoint(time, name, risk, behaviour))
    return points


def _probes() -> list[ProbeSeries]:
    series = []
    for attack, target in zip(ATTACKS, ("db1", "db1", "app3"), strict=True):
        cut = attack.start + CONTAINED[ATTACKS.index(attack)]
        back = START + 150.02 if attack.vm == "web1" else START + LENGTH
        for a, b in ((attack.vm, target), (target, attack.vm)):
            times = [START + 20 + n / RATE for n in range(int((LENGTH - 24) * RATE))]
            series.append(ProbeSeries("udp 100 Hz", a, b, "attacker", times, [cut <= t < back for t in times]))
    for a, b in (("web2", "app1"), ("app3", "db3"), ("ops1", "web3"), ("web4", "mirror")):
        times = [START + 20 + n / RATE for n in range(int((LENGTH - 24) * RATE))]
        series.append(
            ProbeSeries("udp 100 Hz", a, b, "innocent", times, [a == "app3" and n == 4711 for n in range(len(times))])
        )
    return series


def _checks() -> tuple[Check, ...]:
    return (
        Check("every attack is detected", True, "3 of 3"),
        Check("time to contain a scan", True, "1.42 s, 2 s asked"),
        Check("nothing forwarded after containment", True, "0 packets of 2,391 sent"),
        Check("innocent probes", True, "0.004 % lost, 0.1 % allowed"),
        Check("no false rules", True, "0"),
        Check("released VM talks again", True, "first probe 18 ms after DELETE"),
        Check("audit chain", True, "214 entries, unbroken"),
        Check("echo requests", True, "slowest 12 ms, 100 ms allowed"),
    )


def _audit() -> list[AuditRow]:
    rows: list[AuditRow] = []
    for number, attack in enumerate(ATTACKS):
        rule = _rule(number)
        steps = (
            (rule.created - 0.05, "analyzer", "detection", f"{attack.vm}: {BEHAVIOURS[number]}, risk {rule.risk:.0f}"),
            (rule.created, "engine", "rule", f"{rule.id} isolate {attack.vm}: {rule.reasons[0]}"),
            (attack.start + CONTAINED[number], "engine", "enforced", f"{rule.id} read back from leaf{number + 1}"),
        )
        for time, actor, kind, text in steps:
            rows.append(AuditRow(len(rows) + 40, time, actor, kind, text, f"{hash((time, text)) & (1 << 64) - 1:016x}"))
    rows.append(AuditRow(199, START + 150, "admin", "release", "3f2a9c01d4e5 by operator: cleaned", "ab" * 32))
    return rows


def failing() -> DemoReport:
    """The same run with a false rule, lost innocents and an attack that nobody saw."""
    good = sample()
    false = ReportRule("0badc0ffee00", "isolate", "app1", START + 60, None, None, 71.0, ("unusual",), None)
    checks = (Check("every attack is detected", False, "2 of 3: data pushed outside was not seen"), *good.checks[1:])
    innocent = good.probes[-1]
    lost = [2000 <= n < 2900 and n % 3 > 0 for n in range(len(innocent.times))]
    return replace(
        good,
        checks=checks,
        rules=(*good.rules[:2], false),
        probes=(*good.probes[:-1], replace(innocent, lost=lost)),
        summary={"attacks": [_entry(0), _entry(1)]},
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(failing() if "--failing" in sys.argv else sample()), encoding="utf-8")
