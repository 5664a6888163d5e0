"""What the engine tells for the time-series database: how VFNs and rules are, and what rules have met so far."""

from __future__ import annotations

from collections import Counter
from typing import Any

from policies.acl import Mode
from policies.engine import Engine
from policies.hits import default_of
from policies.ladder import automatic
from policies.rules import SegmentationRule
from policies.vfnstate import Phase
from policies.views import ACTIONS, sums
from runtime.health import health


def measure(engine: Engine) -> dict[str, Any]:
    """`{time, health, vfns, rules, hits}`, all as of now; sums of hits never fall as long as the engine lives."""
    return {
        "time": engine.clock.wall(),
        "health": health(),
        "vfns": vfns(engine),
        "rules": [[*key, count] for key, count in rules(engine).items()],
        "hits": hits(engine),
    }


def vfns(engine: Engine) -> list[dict[str, Any]]:
    """Each VFN of the inventory; flags are 0 or 1."""
    return [
        {
            "vfn": name,
            "connected": int(state.phase is not Phase.AWAY),
            "in_sync": int(state.in_sync),
            "enforced_ratio": state.enforced_ratio,
            "entries": state.goal.size,
            "rules": len(state.rules),
        }
        for name, state in engine.enforcer.states.items()
    ]


def rules(engine: Engine) -> Counter[tuple[str, str, str, str]]:
    """How many rules that are not over there are of each (action, mode, state, issuer)."""
    counts = Counter(
        (record.rule.action.value, record.rule.mode.value, record.state.value, issuer(record.rule))
        for record in engine.book.records.values()
        if not record.over
    )
    state = "installing" if engine.policies.pending else "enforced"
    counts.update((ACTIONS[acl.verdict], acl.mode.value, state, "policy") for acl in engine.policies.policy.acls)
    return counts


def issuer(rule: SegmentationRule) -> str:
    """Whose rule it is: `analyzer` or `person`."""
    return "analyzer" if automatic(rule) else "person"


def hits(engine: Engine) -> list[dict[str, Any]]:
    """What rules of the policy, segments' defaults and the rules of each action have met, if anything."""
    laid_down = {acl.rule_id: acl for acl in engine.policies.whole.acls}
    found = [
        _row(engine, name, name, "policy", ACTIONS[acl.verdict], acl.mode.value) for name, acl in laid_down.items()
    ]
    found += [
        _row(engine, default_of(segment.number), segment.name, "default", "deny", Mode.ENFORCE.value)
        for segment in engine.inventory.segments.values()
    ]
    of_action: dict[tuple[str, str], list[str]] = {}
    for record in engine.book.records.values():
        of_action.setdefault((record.rule.action.value, record.rule.mode.value), []).append(record.rule.id)
    # A rule of the moment has no name that a series could have. It is gone with its sums; the rest is told of each.
    for (action, mode), identities in of_action.items():
        found += [_row(engine, one, f"({action})", "segmentation", action, mode) for one in identities]
    return [row for row in found if row["packets"]]


def _row(engine: Engine, key: str, name: str, kind: str, action: str, mode: str) -> dict[str, Any]:
    met = {
        unit: {word: count for word, count in sorted(counts.items()) if count}
        for unit, counts in sums(engine.hits.of(key)).items()
    }
    return {"key": key, "rule": name, "kind": kind, "action": action, "mode": mode, **met}
