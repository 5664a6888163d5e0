"""What the engine tells the analyzer about rules, and how it puts things into words for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.admission import Admitted, Decision, Held, Merged, Refused
from policies.book import Book
from policies.rules import Mode, RuleState, SegmentationRule
from policies.vfnstate import Apply, Drift
from runtime.channel import Message

_SHOWN = 5
"""Entries that a drift record describes one by one."""
_TABLE_FULL = (5, 1)
"""OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL (OpenFlow 1.3, 7.4.4)."""


class RulesTold:
    """What the analyzer knows of the rules in force. Each change is told whole: of many in a row, once in a while.

    Args:
        apart: seconds, at least, from one time to the next.
    """

    def __init__(self, book: Book, apart: float) -> None:
        self._book = book
        self._apart = apart
        self._changed = False
        self._next = float("-inf")

    def change(self) -> None:
        """The rules in force are others now."""
        self._changed = True

    def take(self, now: float) -> list[Message]:
        """What is to be told now. `now`: seconds of a clock that never goes back."""
        if not self._changed or now < self._next:
            return []
        self._changed, self._next = False, now + self._apart
        return [rules(self._book)]

    def seconds(self, now: float) -> float | None:
        """Until something is to be told; None: nothing is."""
        return max(0.0, self._next - now) if self._changed else None


def rules(book: Book) -> Message:
    """Rules in force that do something, and whom those of before have left on probation."""
    acting = [rule for rule in book.live() if rule.mode is not Mode.OBSERVE]
    watched = [{**_whom(record.rule), "rule": record.rule.id} for record in book.on_probation()]
    return Message("rules", {"rules": [_rule(rule) for rule in acting], "probation": watched})


def _rule(rule: SegmentationRule) -> dict[str, Any]:
    return {"id": rule.id, "action": rule.action, "issuer": rule.issuer, "scope": rule.scope, **_whom(rule)}


def _whom(rule: SegmentationRule) -> dict[str, Any]:
    return {"source_vm": rule.source_vm, "source_ip": None if rule.source_ip is None else str(rule.source_ip)}


def answered(proposal: int, rule: str, decision: Decision, book: Book) -> Message:
    """What was decided about a proposal; `rule` is the id that it was judged under."""
    match decision:
        case Refused(reason=reason):
            return decided(proposal, rule, RuleState.REFUSED, reason)
        case Held(reason=reason):
            return decided(proposal, rule, RuleState.PROPOSED, reason)
        case Merged(rule=standing, reason=reason):
            return decided(proposal, standing.id, book.records[standing.id].state, reason)
        case Admitted(why=why):
            return decided(proposal, rule, RuleState.INSTALLING, why)


def decided(proposal: int, rule: str, state: RuleState, reason: str) -> Message:
    """What has become of a proposal."""
    return Message("decided", {"rule": rule, "proposal": proposal, "state": state, "reason": reason})


def in_words(errors: Any) -> str:
    """OpenFlow errors in words, each once."""
    words = {
        "table full" if (e["type"], e["code"]) == _TABLE_FULL else f"error type {e['type']} code {e['code']}"
        for e in errors
    }
    return ", ".join(sorted(words))


def bundle(vfn: str, apply: Apply, seconds: float) -> tuple[list[str], dict[str, Any]]:
    """The rules of a bundle that a VFN has taken, `seconds` after it was sent; and the bundle for the record."""
    rules = sorted({rule for entry in apply.add.values() for rule in entry.rules})
    counts = {"added": len(apply.add), "deleted": len(apply.delete) + len(apply.remove)}
    return rules, {"vfn": vfn, "rules": rules, "urgent": False, **counts, "barrier_seconds": round(seconds, 6)}


def drift_told(drift: Drift) -> Mapping[str, Any]:
    """A drift for the record: how many entries, and the first of them."""
    lost = [{"table": e.table, "priority": e.priority, "rules": list(e.rules)} for e in drift.lost[:_SHOWN]]
    strange = [{"table": e.table, "priority": e.priority, "cookie": f"{e.cookie:#x}"} for e in drift.strange[:_SHOWN]]
    counts = {"lost": len(drift.lost), "strange": len(drift.strange)}
    return {**counts, "lost_entries": lost, "strange_entries": strange}
