"""Judgement of a run: the conditions that must hold, and `summary.json`. A pure function of the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mininet_labs.evidence import (
    Evidence,
    Strike,
    false_rules,
    flows_again,
    innocent_loss,
    leaks,
    unexplained_failures,
)

MAX_INNOCENT_LOSS_PERCENT = 0.1
MAX_ECHO_MS = 100.0
ANALYZER_KILLED = "analyzer killed"
"""Name of the finding about that mishap."""
HARM_TAKEN_BACK = "harm taken back"
"""Name of the finding about the policy that harms."""
MAX_SILENCE_SECONDS = 5.0
"""From a release to the VM's first packet that comes back."""


@dataclass(frozen=True)
class Finding:
    """One condition of success."""

    name: str
    passed: bool
    text: str
    """What was measured, and what was asked."""


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Every condition, in the order of the story."""
    return (
        *(finding for strike in evidence.strikes for finding in _strike(strike)),
        _cuts_hold(evidence),
        _false_rules(evidence),
        _innocent(evidence),
        _work(evidence),
        _echo(evidence),
        _released(evidence),
        _policy(evidence),
        _explained(evidence),
        Finding("audit", evidence.audit_verified, evidence.audit_words),
    )


def summary(evidence: Evidence, checks: tuple[Finding, ...]) -> dict[str, Any]:
    """The contents of `summary.json`."""
    failures = unexplained_failures(evidence)
    return {
        "passed": all(check.passed for check in checks),
        "attacks": [_attack(strike) for strike in evidence.strikes],
        "innocent_probe_loss_percent": round(innocent_loss(evidence), 4),
        "innocent_probes": sum(len(evidence.probes.get(name, ())) for name in evidence.innocent),
        "false_rules": len(false_rules(evidence)),
        "released_ok": _released(evidence).passed,
        "audit_ok": evidence.audit_verified,
        "analyzer_killed_ok": next((check.passed for check in checks if check.name == ANALYZER_KILLED), None),
        "harm_taken_back_ok": next((check.passed for check in checks if check.name == HARM_TAKEN_BACK), None),
        "echo_max_ms": evidence.echo.max_ms,
        "echo_p99_ms": evidence.echo.p99_ms,
        "workload": dict(sorted(evidence.work.done.items())),
        "workload_failures": len(failures),
        "duration_s": round(evidence.ended - evidence.started, 1),
        "until_enforcing_s": round(evidence.enforcing - evidence.started, 1),
        "checks": [{"name": check.name, "passed": check.passed, "text": check.text} for check in checks],
    }


def _attack(strike: Strike) -> dict[str, Any]:
    seconds = strike.contained_seconds
    return {
        "name": strike.attack.name,
        "vm": strike.attack.vm,
        "detected": strike.rule is not None,
        "time_to_contain_s": None if seconds is None else round(seconds, 3),
        "packets_forwarded_after_contain": strike.forwarded_after,
        "attack_packets_sent_after_contain": strike.sent_after,
        "attack_packets_sent": len(strike.watch.attack),
        "confirmed_at": strike.confirmed,
        "rule": strike.rule and dict(strike.rule),
    }


def _strike(strike: Strike) -> tuple[Finding, ...]:
    name, vm = strike.attack.name, strike.attack.vm
    if strike.rule is None:
        return (Finding(f"{name}: seen", False, f"{vm} was not isolated"),)
    reasons = "; ".join(strike.rule["reasons"])
    seconds = strike.contained_seconds
    words = (
        f"{strike.sent_after} attack packets sent after the cut was confirmed, {strike.forwarded_after} of the"
        f" VM's packets delivered (asked: some, 0); {strike.watch.missed} frames missed by the watcher"
    )
    held = strike.forwarded_after == 0 and strike.sent_after > 0 and strike.watch.missed == 0
    return (
        Finding(f"{name}: seen", bool(reasons), f"{vm}: {reasons}"),
        Finding(f"{name}: contained", held and seconds is not None, f"after {seconds or 0:.2f} s; {words}"),
    )


def _cuts_hold(evidence: Evidence) -> Finding:
    """From the confirmation until the release or the end, whatever died in between."""
    counts = [leaks(evidence, strike) for strike in evidence.strikes]
    sent, delivered = sum(count for count, _ in counts), sum(count for _, count in counts)
    words = f"{delivered} of {sent} probes sent by isolated VMs were delivered (asked: 0)"
    return Finding("cuts hold", bool(counts) and all(sent and not passed for sent, passed in counts), words)


def _false_rules(evidence: Evidence) -> Finding:
    wrong = false_rules(evidence)
    names = ", ".join(str(rule["source_vm"] or rule.get("source_ip")) for rule in wrong)
    return Finding("no false rules", not wrong, f"{len(wrong)} of {len(evidence.rules)} rules {names}".strip())


def _innocent(evidence: Evidence) -> Finding:
    loss = innocent_loss(evidence)
    sent = sum(len(evidence.probes.get(name, ())) for name in evidence.innocent)
    words = f"{loss:.4f} % of {sent} probes lost (asked: at most {MAX_INNOCENT_LOSS_PERCENT} %)"
    return Finding("innocent traffic flows", loss <= MAX_INNOCENT_LOSS_PERCENT, words)


def _work(evidence: Evidence) -> Finding:
    failures = unexplained_failures(evidence)
    idle = [name for name, count in evidence.work.done.items() if not count]
    words = f"{sum(evidence.work.done.values())} exchanges worked, {len(failures)} failed without reason"
    words += f", never done: {', '.join(idle)}" if idle else ""
    first = f", first: {failures[0]}" if failures else ""
    return Finding("workload works", not failures and not idle, words + first)


def _echo(evidence: Evidence) -> Finding:
    echo = evidence.echo
    quick = echo.max_ms is not None and echo.max_ms <= MAX_ECHO_MS
    words = f"slowest of {echo.answered} echo replies {echo.max_ms} ms (asked: at most {MAX_ECHO_MS:.0f} ms)"
    if echo.reconnects:
        words += f"; the connection was lost {echo.reconnects} times"
    return Finding("ryu-manager answers", quick and not echo.reconnects, words)


def _policy(evidence: Evidence) -> Finding:
    """Every kind of rule has met packets: one that allows, a default that denies, one in observe that lets pass."""
    allowed = _met(evidence, "policy", "allowed")
    denied, observed = _met(evidence, "default", "denied"), _met(evidence, "policy", "observed")
    words = (
        f"{allowed} packets allowed by rules, {denied} denied by default, {observed} that rules in observe would have"
        " denied (asked: some of each)"
    )
    return Finding("policy", bool(allowed and denied and observed), words)


def _met(evidence: Evidence, kind: str, what: str) -> int:
    return sum(row["packets"][what] for row in evidence.hits if row["kind"] == kind)


def _explained(evidence: Evidence) -> Finding:
    """Policy, table entries and switches name the same rule, and it is the one that was written for this."""
    wrong = [e for e in evidence.explained if not e.answer["agree"] or e.decided_by != e.expected]
    told = "; ".join(f"{e.question}: {e.decided_by}" for e in evidence.explained)
    words = f"{told} (policy, tables and switches agree)" if not wrong else f"wrong about {wrong[0].question}: {told}"
    return Finding("explained", bool(evidence.explained) and not wrong, words)


def _released(evidence: Evidence) -> Finding:
    seconds = [flows_again(evidence, release) for release in evidence.releases]
    in_time = [s is not None and s <= MAX_SILENCE_SECONDS for s in seconds]
    told = ", ".join(
        f"{release.vm} {'does not talk' if s is None else f'talks again after {s:.2f} s'}"
        for release, s in zip(evidence.releases, seconds, strict=True)
    )
    return Finding("release", bool(in_time) and all(in_time), told or "nothing was released")
