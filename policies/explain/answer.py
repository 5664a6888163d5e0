"""Puts the three opinions about a packet side by side: what the policy means, what the tables do, what switches say.

Works on a snapshot, so it may run aside: following a packet through all entries of a VFN takes a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.acl import Acl, Policy
from policies.desired import Desired
from policies.explain.finding import Finding, find, path_of
from policies.explain.question import Question, Visit
from policies.pipeline.tables import Table
from policies.reference import Decision, Tracked, decide, observe
from policies.rules import FirewallRule, SegmentationRule, Verdict
from policies.simulate import Connection, Simulator
from policies.translate import acls_in
from topology.model import Inventory

_GUARDS = (Table.GUARD, Table.BORDER)
_STATES = {False: "trk,new", True: "trk,est,rpl"}
"""What connection tracking finds, as ofproto/trace takes it: of a packet that opens a connection, or answers one."""


@dataclass(frozen=True)
class View:
    """A VFN as the engine knows it."""

    bridge: str
    ports: Mapping[str, int]
    """OpenFlow port number by interface name; none: it was never connected."""
    desired: Desired


@dataclass(frozen=True)
class Site:
    """Everything that opinions are made of, as it is now."""

    inventory: Inventory
    policy: Policy
    author: str
    """Who laid the policy down."""
    rules: Mapping[str, tuple[SegmentationRule, tuple[FirewallRule, ...]]]
    """Segmentation rules in force, by id."""
    vfns: Mapping[str, View]

    @property
    def acls(self) -> tuple[Acl, ...]:
        """What the segmentation rules say about packets; each once, at however many VFNs it stands."""
        return tuple(dict.fromkeys(acls_in(self._firewalls())))

    def acls_at(self, vfn: str) -> tuple[Acl, ...]:
        """The same of those that stand at one VFN."""
        return tuple(dict.fromkeys(acls_in(one for one in self._firewalls() if one.vfn == vfn)))

    def _firewalls(self) -> Iterator[FirewallRule]:
        for _, group in self.rules.values():
            yield from group


@dataclass(frozen=True)
class Opinion:
    """What is said of the packet at one VFN."""

    visit: Visit
    tables: Finding | None = None
    switch: Finding | None = None
    trouble: tuple[str, ...] = ()
    """Why there is no such finding."""


def trace_plan(question: Question, site: Site) -> list[dict[str, Any]]:
    """What to ask the switches: {vfn, bridge, flow, states} of each VFN that judges the packet and has its port."""
    return [
        {
            "vfn": visit.vfn,
            "bridge": site.vfns[visit.vfn].bridge,
            "flow": question.flow(site.vfns[visit.vfn].ports[visit.port]),
            "states": [_STATES[question.answer]],
        }
        for visit in question.visits(site.inventory)
        if visit.port in site.vfns[visit.vfn].ports
    ]


def explain(question: Question, site: Site, traces: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The answer of `GET /v1/explain`."""
    tracked = Tracked.REPLY if question.answer else Tracked.NEW
    decision = decide(site.inventory, site.policy, site.acls, question.packet(), tracked)
    forged = question.forged(site.inventory)
    opinions = [_opinion(question, site, visit, traces.get(visit.vfn)) for visit in question.visits(site.inventory)]
    entry = site.acls_at(question.source.place.vfn)
    observed = () if forged else observe(site.inventory, site.policy, entry, question.packet(), tracked)
    odd = [*_odd_vfns(opinions), *_odd_policy(site.inventory, decision, forged, opinions)]
    odd += _odd_observers(observed, opinions)
    return {
        "packet": question.packet_json(),
        "policy": {**_decision_json(site, decision, forged), "observed": list(observed)},
        "vfns": [row for opinion in opinions for row in _rows(site.inventory, opinion)],
        "agree": not odd,
        "disagreements": odd,
    }


def _opinion(question: Question, site: Site, visit: Visit, trace: Mapping[str, str] | None) -> Opinion:
    view = site.vfns[visit.vfn]
    if visit.port not in view.ports:
        return Opinion(visit, trouble=(f"it is not known to have the port {visit.port}",))
    trouble: list[str] = []
    tables = switch = None
    try:
        tables = _followed(question, site.inventory, view, view.ports[visit.port])
    except ValueError as error:
        trouble.append(f"its tables are ambiguous: {error}")
    if trace is not None and "text" in trace:
        try:
            switch = find(path_of(trace["text"]), view.desired.get)
        except ValueError as error:
            trouble.append(str(error))
    else:
        trouble.append(f"its switch was not asked: {(trace or {}).get('error', 'control does not reach it')}")
    return Opinion(visit, tables, switch, tuple(trouble))


def _followed(question: Question, inventory: Inventory, view: View, in_port: int) -> Finding:
    """The packet's way by the entries that the VFN must hold."""
    cookies = {id(entry): cookie for cookie, entry in view.desired.items()}
    fields = {**question.fields(), "in_port": in_port}
    outcome = Simulator(view.desired.values()).run(fields, set(_connections(question, inventory)))
    return find([(entry.table, cookies[id(entry)]) for entry in outcome.path], view.desired.get)


def _connections(question: Question, inventory: Inventory) -> Iterator[Connection]:
    """What the packet answers, in the zone of either end's VM."""
    if not question.answer:
        return
    packet = question.packet()
    for vm in (question.source.vm, question.destination.vm):
        if vm is not None:
            yield Connection(
                inventory.vms[vm].number,
                packet.protocol or 0,
                int(question.destination.address),
                int(question.source.address),
                packet.destination_port,
                packet.source_port,
            )


def _odd_vfns(opinions: Sequence[Opinion]) -> Iterator[str]:
    """VFNs whose switch says otherwise than the tables that it must hold."""
    for one in opinions:
        if one.tables is None and one.switch is None:
            yield f"VFN {one.visit.vfn}: {'; '.join(one.trouble)}"
        elif one.tables is not None and one.switch is not None and not _same(one.tables, one.switch):
            said = f"its tables say {_in_words(one.tables)}, its switch says {_in_words(one.switch)}"
            yield f"VFN {one.visit.vfn}: {said}"


def _same(one: Finding, other: Finding) -> bool:
    """Rules of one priority that say the same may share a packet: a switch names any of them."""
    what = (one.verdict, one.table, one.segment) == (other.verdict, other.table, other.segment)
    return what and bool(one.rules) == bool(other.rules)


def _odd_policy(inventory: Inventory, decision: Decision, forged: bool, opinions: Sequence[Opinion]) -> Iterator[str]:
    """Where what happens is not what the policy means. A packet that one VFN drops is dropped."""
    for of, findings in (
        ("the tables", [(one.visit.vfn, one.tables) for one in opinions]),
        ("the switches", [(one.visit.vfn, one.switch) for one in opinions]),
    ):
        known = [(vfn, finding) for vfn, finding in findings if finding is not None]
        dropping = [(vfn, finding) for vfn, finding in known if finding.verdict is Verdict.DROP]
        if dropping:
            # A rule stands where its VM is, so the VFN before may have dropped the packet by what it knows.
            if not any(_explains(inventory, finding, decision, forged) for _, finding in dropping):
                vfn, finding = dropping[0]
                yield f"the policy says {_meant(decision, forged)}, {of} at VFN {vfn} say {_in_words(finding)}"
        elif len(known) == len(opinions) and (forged or decision.verdict is Verdict.DROP):
            yield f"the policy says {_meant(decision, forged)}, {of} let it through"
        elif not forged and decision.verdict is Verdict.ALLOW:
            ids = {acl.rule_id for acl in decision.judgement.acls}
            for vfn, finding in known:
                if finding.rules and not ids & {*finding.rules}:
                    yield f"the policy says {_meant(decision, forged)}, {of} at VFN {vfn} say {_in_words(finding)}"


def _odd_observers(observed: tuple[str, ...], opinions: Sequence[Opinion]) -> Iterator[str]:
    """A packet is observed where it enters the network, and nowhere else."""
    for one in opinions:
        due = {*observed} if one.visit.enters else set()
        for of, finding in (("tables", one.tables), ("switch", one.switch)):
            if finding is not None and (bool(due) != bool(finding.observed) or not due >= {*finding.observed}):
                found = ", ".join(finding.observed) or "none"
                yield f"VFN {one.visit.vfn}: of {', '.join(due) or 'none'} in observe its {of} would count {found}"


def _explains(inventory: Inventory, finding: Finding, decision: Decision, forged: bool) -> bool:
    """Is this drop the one that the policy means?"""
    if forged:
        return finding.table in _GUARDS and not finding.rules
    judgement = decision.judgement
    if decision.verdict is not Verdict.DROP:
        return False
    if judgement.acls:
        return bool({acl.rule_id for acl in judgement.acls} & {*finding.rules})
    assert judgement.default is not None  # what is dropped without a rule is dropped by a default
    return not finding.rules and finding.segment == inventory.segments[judgement.default].number


def _meant(decision: Decision, forged: bool) -> str:
    if forged:
        return "drop (a forged sender)"
    judgement = decision.judgement
    by = ", ".join(acl.rule_id for acl in judgement.acls) or (judgement.default and f"default of {judgement.default}")
    return f"{decision.verdict} ({by or 'nothing against it'})"


def _in_words(finding: Finding) -> str:
    by = ", ".join(finding.rules) or (f"default of segment {finding.segment}" if finding.segment else "no rule")
    return f"{finding.verdict} in {Table(finding.table).name} ({by})"


def _decision_json(site: Site, decision: Decision, forged: bool) -> dict[str, Any]:
    if forged:
        why = "its sender uses an address or MAC that is not its own: the guard drops it"
        return {"verdict": Verdict.DROP, "rule": None, "why": why}
    told: dict[str, Any] = {"verdict": decision.verdict, "rule": None, "by_answer": decision.by_answer}
    judgement = decision.judgement
    if not judgement.acls:
        if judgement.default is None:
            return {**told, "why": "no rule speaks of it, and its segments' defaults allow it"}
        return {**told, "default": judgement.default, "why": f"the default of segment {judgement.default}"}
    acl = judgement.acls[0]
    told |= {"rule": acl.rule_id, "tier": acl.tier.name.lower(), "rank": acl.rank}
    if acl.rule_id in site.rules:
        rule = site.rules[acl.rule_id][0]
        return {**told, "issuer": rule.issuer, "why": "; ".join(rule.reasons) or f"{rule.action} by {rule.issuer}"}
    return {**told, "issuer": site.author, "why": f"version {site.policy.version} of the policy"}


def _rows(inventory: Inventory, opinion: Opinion) -> Iterator[dict[str, Any]]:
    """One of the tables, one of the switch."""
    names = {segment.number: name for name, segment in inventory.segments.items()}
    visit = {"vfn": opinion.visit.vfn, "enters": opinion.visit.enters}
    for by, finding in (("tables", opinion.tables), ("switch", opinion.switch)):
        if finding is not None:
            yield {
                **visit,
                "by": by,
                "verdict": finding.verdict,
                "table": Table(finding.table).name.lower(),
                "rules": list(finding.rules),
                "segment": None if finding.segment is None else names.get(finding.segment),
                "answer": finding.by_answer,
                "delivered": finding.delivered,
                "observed": list(finding.observed),
                "limited": list(finding.limited),
                "steered": list(finding.steered),
            }
    for trouble in opinion.trouble:
        yield {**visit, "by": trouble, "verdict": None}
