"""How versions of the policy and hits look over REST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from policies.acl import Acl, Mode
from policies.hits import Hit, Hits, What, default_of
from policies.rules import SegmentationRule, Verdict
from policies.versions import PolicyVersion, VersionLine
from topology.model import Segment

ACTIONS = {Verdict.ALLOW: "allow", Verdict.DROP: "deny"}
"""What a rule of the policy does, as people write it."""


def version_json(version: PolicyVersion, *, in_force: bool = True) -> dict[str, Any]:
    """A version of the policy; times are epoch seconds."""
    none = version.number == 0
    return {
        "version": version.number,
        "state": _state(version, in_force),
        "actor": version.actor or None,
        "created": None if none else version.created,
        "enforced_at": version.enforced_at,
        "refused": version.refused,
        "digest": None if none else version.digest,
        "text": version.text,
    }


def line_json(line: VersionLine, now: int) -> dict[str, Any]:
    """A version in the history; `again`: the earlier one that it is the same as. `now`: number of the one in force."""
    return {
        "version": line.number,
        "state": _state(line, line.number == now),
        "actor": line.actor,
        "created": line.created,
        "enforced_at": line.enforced_at,
        "again": line.first if line.first < line.number else None,
        "refused": line.refused,
        "digest": line.digest,
    }


def _state(version: PolicyVersion | VersionLine, in_force: bool) -> str:
    if version.number == 0:
        return "none"
    if version.refused is not None:
        return "refused"
    if not in_force:
        return "replaced"
    return "installing" if version.enforced_at is None else "enforced"


def hits_json(
    hits: Hits, rules: Iterable[SegmentationRule], acls: Iterable[Acl], segments: Iterable[Segment]
) -> list[dict[str, Any]]:
    """What each rule and each segment's default has met, those included that have met nothing."""
    rows = [_row(hits, rule.id, rule.id, "segmentation", rule.action, rule.mode) for rule in rules]
    rows += [_row(hits, acl.rule_id, acl.rule_id, "policy", ACTIONS[acl.verdict], acl.mode) for acl in acls]
    denying = [segment for segment in segments if "deny" in (segment.default, segment.outward)]
    rows += [_row(hits, default_of(one.number), one.name, "default", "deny", Mode.ENFORCE) for one in denying]
    return rows


def sums_json(found: Mapping[tuple[str, What], Hit]) -> dict[str, Any]:
    """Sums of a rule: {packets, bytes} by what became of the packets, and the same by VFN."""
    vfns = sorted({vfn for vfn, _ in found})
    return {**sums(found), "vfns": {vfn: sums(found, vfn) for vfn in vfns}}


def sums(found: Mapping[tuple[str, What], Hit], vfn: str | None = None) -> dict[str, dict[str, int]]:
    """Sums of a rule, at one VFN if it is named: {packets, bytes} by what became of the packets, noughts included."""
    packets, octets = ({what.value: 0 for what in What} for _ in range(2))
    for (where, what), hit in found.items():
        if vfn in (None, where):
            packets[what] += hit.packets
            octets[what] += hit.bytes
    return {"packets": packets, "bytes": octets}


def _row(hits: Hits, key: str, name: str, kind: str, action: str, mode: StrEnum) -> dict[str, Any]:
    return {"rule": name, "kind": kind, "action": action, "mode": mode, **sums_json(hits.of(key))}
