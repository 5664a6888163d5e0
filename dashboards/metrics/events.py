"""Rows of the audit log as points: annotations of graphs, how long pushes and rules took, what drifted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboards.metrics import schema
from dashboards.metrics.lines import Encoder
from policies.audit import AuditRow
from topology.model import Inventory

_BEGINS = {
    "isolate": ("isolation", "{who} isolated"),
    "restrict": ("restriction", "{who} restricted to its usual peers"),
    "rate_limit": ("restriction", "{who} limited in its rate"),
    "steer": ("restriction", "{who} steered to inspection"),
    "deny": ("denial", "{who} denied"),
}
_ENDS = {
    "released": "released",
    "expiring": "its time is over",
    "rolled_back": "rolled back",
    "probation": "released on probation",
}
_IN_FORCE = frozenset({"installing", "enforced", "failed"})
"""States of a rule that holds somebody, or is about to."""
_PEOPLE = "person"


@dataclass
class Pushes:
    """What became of a VFN's entries, in one interval."""

    pushes: int = 0
    push_seconds: float = 0.0
    push_seconds_max: float = 0.0
    lost_entries: int = 0
    strange_entries: int = 0
    failures: int = 0


@dataclass
class Told:
    """What rows of an interval add up to."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and who wrote them."""
    pushes: dict[str, Pushes] = field(default_factory=lambda: defaultdict(Pushes))
    """By VFN."""
    false_alarms: Counter[str] = field(default_factory=Counter)
    """By behaviour."""
    times: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds by action and change."""


def add_up(rows: Iterable[AuditRow]) -> Told:
    """Sums of these rows."""
    told = Told()
    for row in rows:
        told.rows[row.kind, _by(row.actor)] += 1
        body = row.body
        if row.kind in ("enforced", "removed") and "action" in body:
            told.times[str(body["action"]), row.kind].append(float(body["seconds"]))
        if body.get("false_alarm"):
            told.false_alarms[str(body.get("behaviour") or _PEOPLE)] += 1
        if "vfn" not in body:
            continue
        pushes = told.pushes[str(body["vfn"])]
        if row.kind == "installed":
            seconds = float(body["barrier_seconds"])
            pushes.pushes += 1
            pushes.push_seconds += seconds
            pushes.push_seconds_max = max(pushes.push_seconds_max, seconds)
        elif row.kind == "drift":
            pushes.lost_entries += int(body["lost"])
            pushes.strange_entries += int(body["strange"])
        elif row.kind == "failed":
            pushes.failures += 1
    return told


def sum_lines(told: Told, vfns: Iterable[Mapping[str, Any]], encoder: Encoder, at: float) -> Iterator[str | None]:
    """Points of sums at `at`, with those of VFNs as the engine sees them (`policies.measuring.vfns`)."""
    for (kind, by), count in told.rows.items():
        yield encoder.line(schema.AUDIT, {"kind": kind, "by": by}, {"rows": count}, at)
    for behaviour, count in told.false_alarms.items():
        yield encoder.line(schema.FEEDBACK, {"behaviour": behaviour}, {"false_alarms": count}, at)
    for (action, change), seconds in told.times.items():
        fields = {"rules": len(seconds), "seconds": sum(seconds), "seconds_max": max(seconds)}
        yield encoder.line(schema.RULE_TIMES, {"action": action, "change": change}, fields, at)
    for vfn in vfns:
        state = {name: value for name, value in vfn.items() if name != "vfn"}
        yield encoder.line(
            schema.ENFORCEMENT, {"vfn": vfn["vfn"]}, {**state, **vars(told.pushes.get(vfn["vfn"], Pushes()))}, at
        )


class Events:
    """Annotations. Two of one series get moments of their own: of two points of one moment one would be lost."""

    def __init__(self, encoder: Encoder, inventory: Inventory) -> None:
        self._encoder = encoder
        self._inventory = inventory
        self._last: dict[str, float] = {}

    def lines(self, rows: Iterable[AuditRow]) -> Iterator[str]:
        """A point for each row that people want to see on a graph."""
        for row in rows:
            found = event_of(row)
            if found is None:
                continue
            kind, title, text = found
            tags = {"kind": kind, **self._place(row.body)}
            series = self._encoder.key(schema.EVENTS, tags)
            at = max(row.ts, self._last.get(series, 0.0) + 0.001)
            self._last[series] = at
            rule = str(row.body.get("rule", ""))
            fields: dict[str, float | str] = {
                "title": title,
                "text": text,
                "rule": rule,
                "actor": row.actor,
                "events": 1,
            }
            line = self._encoder.line(schema.EVENTS, tags, fields, at)
            assert line is not None, "`events` is always there"
            yield line

    def _place(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Which VM, with its segment and VFN, or which VFN."""
        name = body.get("vm") or body.get("source_vm")
        vm = self._inventory.vms.get(str(name))
        if vm is not None:
            return {"vm": vm.name, "segment": vm.segment, "vfn": vm.vfn}
        return {"vfn": str(body["vfn"])} if "vfn" in body else {}


def event_of(row: AuditRow) -> tuple[str, str, str] | None:
    """(kind, title, text) of a row, if it is an event."""
    body = row.body
    who = str(body.get("vm") or body.get("source_vm") or body.get("source_ip") or "somebody")
    reason = str(body.get("reason", ""))
    found: tuple[str, str, str] | None = None
    match row.kind:
        case "admitted" | "approved" if body.get("state", "installing") == "installing":
            kind, title = _BEGINS.get(str(body.get("action")), ("", ""))
            why = "; ".join(map(str, body.get("reasons", ())))
            if kind and body.get("mode") == "observe":
                kind, title = "observation", f"{title}, were the rule enforced"
            found = (kind, title.format(who=who), why)
        case "released" | "expiring" | "rolled_back" | "probation" if _frees(body):
            found = "release", f"{who}: {_ENDS[row.kind]}", reason
        case "policy":
            found = "policy", f"policy version {body.get('version')}", reason
        case "policy_refused":
            found = "policy", f"policy version {body.get('version')} refused", reason
        case "drift":
            found = "drift", f"{body['vfn']} drifted", f"{body['lost']} entries lost, {body['strange']} strange"
        case "failed":
            found = "failure", f"{body.get('vfn', 'a VFN')} did not take entries", reason
        case "harm":
            found = "harm", f"harm: {body.get('decision', '')}", str(body.get("subject", ""))
        case "started" | "stopped":
            found = "process", f"engine {row.kind}", ""
    return found if found is not None and found[0] else None


def _frees(body: Mapping[str, Any]) -> bool:
    """Is somebody free by the end of this rule, who was not before, and under no stronger one instead?"""
    held = body.get("was", "enforced") in _IN_FORCE and body.get("mode") != "observe"
    return held and "superseded_by" not in body


def _by(actor: str) -> str:
    return actor if actor in ("engine", "analyzer") else _PEOPLE
