"""Everything that now keeps a VM from talking, or others from talking to it: which rule, whose, why, since when.

It says what may decide about some packet of the VM. What decides about a certain one is for `explain.answer` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.acl import Acl, AddressList, Mode, Peer, Service
from policies.explain.answer import Site
from policies.lifecycle import RuleRecord
from policies.rules import Action, FirewallRule, SegmentationRule, Verdict
from policies.terms import Terms
from policies.translate import acls_in, tier_of
from policies.versions import PolicyVersion
from topology.addresses import addresses_of
from topology.model import Segment, Vm

_NOTHING = Terms()


@dataclass(frozen=True)
class Standing:
    """What is in force, with where it comes from."""

    site: Site
    version: PolicyVersion
    records: Mapping[str, RuleRecord]
    """Of the segmentation rules, by id."""


def restrictions(vm: Vm, standing: Standing) -> list[dict[str, Any]]:
    """A row for each, the first to decide first. Times are epoch seconds; `until` None: until it is taken back."""
    site = standing.site
    found = [
        *_issued(vm, standing),
        *((acl, row) for acl in site.policy.acls for row in _of_policy(vm, acl, standing)),
    ]
    found.sort(key=lambda one: (one[0].tier, one[0].rank), reverse=True)
    return [*_measures(vm, standing), *(row for _, row in found), *_defaults(vm, site.inventory.segments[vm.segment])]


def _issued(vm: Vm, standing: Standing) -> Iterator[tuple[Acl, dict[str, Any]]]:
    for identity, (rule, group) in standing.site.rules.items():
        record = standing.records[identity]
        for acl, cuts in dict.fromkeys(_meant(group)):
            for direction, other in _directions(vm, acl, standing.site.policy.lists):
                yield acl, {**_row(acl, direction, other, "segmentation"), "cut": cuts, **_origin(rule, record)}


def _measures(vm: Vm, standing: Standing) -> Iterator[dict[str, Any]]:
    """What limits or steers the VM, and so decides about no packet by itself."""
    for identity, (rule, _) in standing.site.rules.items():
        if rule.action not in (Action.RATE_LIMIT, Action.STEER) or rule.source_vm != vm.name:
            continue
        limited = rule.action is Action.RATE_LIMIT
        rate = f"{rule.rate} packets/s" if rule.rate else "the packets/s that are set"
        yield {
            "rule": identity,
            "kind": "segmentation",
            "tier": tier_of(rule).name.lower(),
            "rank": 0,
            "mode": rule.mode,
            "direction": "both",
            "other": f"at most {rate}" if limited else f"{'copied' if rule.mirror else 'steered'} to {rule.target}",
            "services": ["all"],
            "cut": False,
            **_origin(rule, standing.records[identity]),
        }


def life(standing: Standing, rule: str) -> dict[str, Any]:
    """Since when and until when a rule is in force, at which VFNs, and whose it is; nothing of what is no rule."""
    if rule in standing.records:
        record = standing.records[rule]
        return _origin(record.rule, record)
    terms = standing.site.policy.terms.get(rule, _NOTHING)
    if all(acl.rule_id != rule for acl in standing.site.policy.acls):
        return {}
    return _term(terms, standing.version)


def _term(terms: Terms, version: PolicyVersion) -> dict[str, Any]:
    return {
        "issuer": terms.owner or version.actor,
        "why": terms.comment or f"version {version.number} of the policy",
        "since": version.created,
        "until": terms.expires,
        "hours": None if terms.schedule is None else str(terms.schedule),
        "state": "enforced" if version.enforced_at is not None else "installing",
    }


def _meant(group: tuple[FirewallRule, ...]) -> Iterator[tuple[Acl, bool]]:
    """What a rule's firewall rules deny; with whether it cuts a port, too."""
    cuts = any(one.cut_port_of is not None for one in group)
    return ((acl, cuts) for acl in acls_in(group))


def _origin(rule: SegmentationRule, record: RuleRecord) -> dict[str, Any]:
    return {
        "issuer": rule.issuer,
        "why": "; ".join(rule.reasons) or f"{rule.action} by {rule.issuer}",
        "since": record.installed_at or rule.created,
        "until": rule.expires,
        "state": record.state,
        "vfns": list(record.vfns),
    }


def _of_policy(vm: Vm, acl: Acl, standing: Standing) -> Iterator[dict[str, Any]]:
    site, version = standing.site, standing.version
    terms = site.policy.terms.get(acl.rule_id, _NOTHING)
    for direction, other in _directions(vm, acl, site.policy.lists):
        yield {
            **_row(acl, direction, other, "policy"),
            "cut": False,
            **_term(terms, version),
            "vfns": [vm.vfn],
        }


def _row(acl: Acl, direction: str, other: Peer, kind: str) -> dict[str, Any]:
    return {
        "rule": acl.rule_id,
        "kind": kind,
        "tier": acl.tier.name.lower(),
        "rank": acl.rank,
        "mode": acl.mode,
        "direction": direction,
        "other": in_words(other),
        "services": [_service(service) for service in acl.services] or ["all"],
    }


def _defaults(vm: Vm, segment: Segment) -> Iterator[dict[str, Any]]:
    for direction, default in (("to", segment.default), ("from", segment.outward)):
        if default == "deny":
            yield {
                "rule": segment.name,
                "kind": "default",
                "tier": "default",
                "rank": 0,
                "mode": Mode.ENFORCE,
                "direction": direction,
                "other": "what no rule allows",
                "services": ["all"],
                "cut": False,
                "issuer": "inventory",
                "why": f"the default of segment {segment.name}",
                "since": None,
                "until": None,
                "state": "enforced",
                "vfns": [vm.vfn],
            }


def _directions(vm: Vm, acl: Acl, lists: Mapping[str, AddressList]) -> Iterator[tuple[str, Peer]]:
    """`from` the VM or `to` it, and whom that is about, if the rule denies. What it might say to itself is nothing."""
    if acl.verdict is Verdict.DROP:
        if may_be(acl.source, vm, lists) and acl.destination.vm != vm.name:
            yield "from", acl.destination
        if may_be(acl.destination, vm, lists) and acl.source.vm != vm.name:
            yield "to", acl.source


def may_be(peer: Peer, vm: Vm, lists: Mapping[str, AddressList]) -> bool:
    """Can an end of a rule be this VM, by one of its addresses at least?"""
    if peer.vm is not None:
        return peer.vm == vm.name
    if peer.segment is not None:
        return peer.segment == vm.segment
    if peer.not_segment is not None:
        return peer.not_segment != vm.segment
    nets = lists[peer.list].nets if peer.list is not None else peer.nets
    if peer.list is None and not nets:
        return True
    return any(address.version == net.version and address in net for net in nets for address in addresses_of(vm))


def in_words(peer: Peer) -> str:
    """An end of a rule for people."""
    if peer.vm is not None:
        return f"VM {peer.vm}"
    if peer.segment is not None:
        return f"segment {peer.segment}"
    if peer.not_segment is not None:
        return f"all but segment {peer.not_segment}"
    if peer.list is not None:
        return f"list {peer.list}"
    return ", ".join(map(str, peer.nets)) or "anybody"


def _service(service: Service) -> str:
    def ports(ranges: tuple[tuple[int, int], ...]) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)

    source = f" from {ports(service.source_ports)}" if service.source_ports else ""
    return f"{service.protocol}{'/' if service.ports else ''}{ports(service.ports)}{source}"
