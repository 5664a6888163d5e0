"""How versions of the policy and hits look over REST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from policies.acl import Acl, Mode
from policies.hits import Hit, Hits, What, default_of
from policies.rules import SegmentationRule, Verdict
from policies.versions import PolicyVersion, VersionLine
from topology.model import Segment

_ACTIONS = {Verdict.ALLOW: "allow", Verdict.DROP: "deny"}


def version_json(version: PolicyVersion) -> dict[str, Any]:
    """A version of the policy; times are epoch seconds."""
    none = version.number == 0
    return {
        "version": version.number,
        "state": _state(version),
        "actor": version.actor or None,
        "created": None if none else version.created,
        "enforced_at": version.enforced_at,
        "refused": version.refused,
        "digest": None if none else version.digest,
        "text": version.text,
    }


def line_json(line: VersionLine) -> dict[str, Any]:
    """A version in the history; `again`: the earlier one that it is the same as."""
    return {
        "version": line.number,
        "state": _state(line),
        "actor": line.actor,
        "created": line.created,
        "enforced_at": line.enforced_at,
        "again": line.first if line.first < line.number else None,
        "refused": line.refused,
        "digest": line.digest,
    }


def _state(version: PolicyVersion | VersionLine) -> str:
    if version.number == 0:
        return "none"
    if version.refused is not None:
        return "refused"
    return "installing" if version.enforced_at is None else "enforced"


def hits_json(
    hits: Hits, rules: Iterable[SegmentationRule], acls: Iterable[Acl], segments: Iterable[Segment]
) -> list[dict[str, Any]]:
    """What each rule and each segment's default has met, those included that have met nothing."""
    rows = [_row(hits, rule.id, rule.id, "segmentation", rule.action, Mode.ENFORCE) for rule in rules]
    rows += [_row(hits, acl.rule_id, acl.rule_id, "policy", _ACTIONS[acl.verdict], acl.mode) for acl in acls]
    denying = [segment for segment in segments if "deny" in (segment.default, segment.outward)]
    rows += [_row(hits, default_of(one.number), one.name, "default", "deny", Mode.ENFORCE) for one in denying]
    return rows


def sums_json(found: Mapping[tuple[str, What], Hit]) -> dict[str, Any]:
    """Sums of a rule: {packets, bytes} by what became of the packets, and the same by VFN."""
    vfns = sorted({vfn for vfn, _ in found})
    return {**_sums(found), "vfns": {vfn: _sums(found, vfn) for vfn in vfns}}


def _row(hits: Hits, key: str, name: str, kind: str, action: str, mode: Mode) -> dict[str, Any]:
    return {"rule": name, "kind": kind, "action": action, "mode": mode, **sums_json(hits.of(key))}


def _sums(found: Mapping[tuple[str, What], Hit], vfn: str | None = None) -> dict[str, dict[str, int]]:
    packets, octets = ({what.value: 0 for what in What} for _ in range(2))
    for (where, what), hit in found.items():
        if vfn in (None, where):
            packets[what] += hit.packets
            octets[what] += hit.bytes
    return {"packets": packets, "bytes": octets}
