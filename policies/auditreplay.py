"""What was in force at a past moment, by the audit log alone: rules, the policy's version, consents, and the hold.

Every row that changes a rule has its id and its new `state`; where a rule begins, or is another than before, the row
has all of it. So the state of any moment is a fold over the rows until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from policies.audit import AuditRow
from policies.lifecycle import OVER
from policies.rules import RuleState, SegmentationRule
from policies.store import record_of

_DEFAULTS = {"scope": "all", "protocol": "any", "reasons": (), "source_ip": None}
_FIELDS = {one.name for one in fields(SegmentationRule)}
_ENDED = ("consent_withdrawn", "consent_expired", "consent_refused")


@dataclass(frozen=True)
class Replayed:
    """The state after a row."""

    seq: int
    """The last row that was read; 0: none."""
    time: float | None
    """Of that row, epoch seconds."""
    rules: Mapping[str, tuple[SegmentationRule, RuleState]]
    """Rules that were not over, by id."""
    version: int
    """Of the policy in force; 0: none was."""
    digest: str | None
    """Of that version."""
    consents: frozenset[str]
    """Ids of those that were not over, their time having come or not."""
    hold: bool
    """Was all automatic action held?"""

    @property
    def live(self) -> dict[str, SegmentationRule]:
        """Rules that belonged into the switches, by id."""
        return {identity: rule for identity, (rule, state) in self.rules.items() if state.live}


@dataclass
class _State:
    rules: dict[str, tuple[SegmentationRule, RuleState]] = field(default_factory=dict)
    versions: list[tuple[int, str]] = field(default_factory=list)
    """(number, digest) of those that no switch has refused, in their order."""
    consents: set[str] = field(default_factory=set)
    hold: bool = False


def replay(rows: Iterable[AuditRow]) -> Replayed:
    """The state after the rows, which begin with the first of the log."""
    state = _State()
    seq, time = 0, None
    for row in rows:
        _take(state, row)
        seq, time = row.seq, row.ts
    version, digest = state.versions[-1] if state.versions else (0, None)
    return Replayed(seq, time, state.rules, version, digest, frozenset(state.consents), state.hold)


def _take(state: _State, row: AuditRow) -> None:
    body = row.body
    if "state" in body and ("rule" in body or "rules" in body):
        for identity in body.get("rules") or [body["rule"]]:
            _move(state.rules, str(identity), body)
    elif row.kind == "policy":
        state.versions.append((int(body["version"]), str(body["digest"])))
    elif row.kind == "policy_refused":
        state.versions = [one for one in state.versions if one[0] != body["version"]]
    elif row.kind == "consent_granted":
        state.consents.add(body["consent"])
    elif row.kind in _ENDED:
        state.consents.discard(body["consent"])
    elif row.kind == "hold":
        state.hold = bool(body["on"])


def _move(rules: dict[str, tuple[SegmentationRule, RuleState]], identity: str, body: Mapping[str, Any]) -> None:
    now = RuleState(body["state"])
    if now in OVER:
        rules.pop(identity, None)
    elif "created" in body:
        rules[identity] = _rule(identity, body), now
    elif identity in rules:
        rules[identity] = rules[identity][0], now


def _rule(identity: str, body: Mapping[str, Any]) -> SegmentationRule:
    """The rule that a row holds all of; what it leaves out is as by default."""
    written = {**_DEFAULTS, **{key: value for key, value in body.items() if key in _FIELDS}, "id": identity}
    return record_of({"rule": written, "state": body["state"], "changed_at": body["created"], "vfns": ()}).rule


def replayed_json(found: Replayed) -> dict[str, Any]:
    """As the command tells it."""
    return {
        "seq": found.seq,
        "time": found.time,
        "policy": {"version": found.version, "digest": found.digest},
        "hold": found.hold,
        "consents": sorted(found.consents),
        "rules": [_told(rule, state) for rule, state in found.rules.values()],
    }


def _told(rule: SegmentationRule, state: RuleState) -> dict[str, Any]:
    return {
        "id": rule.id,
        "state": state,
        "action": rule.action,
        "about": rule.source_vm or (str(rule.source_ip) if rule.source_ip is not None else rule.destination_vm),
        "issuer": rule.issuer,
        "created": rule.created,
        "expires": rule.expires,
        "reasons": list(rule.reasons),
    }
