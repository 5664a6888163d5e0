"""The blast radius of automatic rules: how much of a segment they may take away within an hour, whoever issued them."""

from __future__ import annotations

from collections.abc import Iterable

from policies.ladder import LIMITED, answers, step, subject
from policies.lifecycle import RuleRecord
from policies.rules import RuleState, SegmentationRule
from runtime.settings import EngineSettings
from topology.model import OUTSIDE, Inventory

_NEVER_IN_FORCE = (RuleState.PROPOSED, RuleState.APPROVED, RuleState.REFUSED)


def segment_of(rule: SegmentationRule, inventory: Inventory) -> str:
    """The segment that a rule takes something from; that of an address is the outside."""
    vm = inventory.vms.get(rule.source_vm or "")
    return OUTSIDE if vm is None else vm.segment


def charged(record: RuleRecord) -> bool:
    """Does a rule count against its segment's budget, as long as it stands?"""
    return answers(record.rule) and record.state not in _NEVER_IN_FORCE


def recent(record: RuleRecord, now: float, settings: EngineSettings) -> bool:
    """Does it count though it has ended?"""
    return record.installed_at is not None and record.installed_at > now - settings.budget_seconds


def over(rule: SegmentationRule, spent: Iterable[SegmentationRule], size: int, settings: EngineSettings) -> str | None:
    """What a rule would exceed, in words; None: nothing.

    Args:
        spent: the automatic rules of its segment that count.
        size: number of VMs of the segment; 0: it is about an address.
    """
    who = subject(rule)
    counted = [one for one in spent if subject(one) != who]
    limits = step(rule) == LIMITED
    if rule.source_vm is not None:
        share = settings.budget_limited_share if limits else settings.budget_share
        most = max(settings.budget_vms, int(share * size))
        taken = len({one.source_vm for one in counted if (step(one) == LIMITED) == limits})
        if taken + 1 > most:
            what = "limited" if limits else "cut off"
            return f"{taken} of {size} VMs of its segment are {what} by automatic rules, the budget is {most}"
    if not limits:
        stopped = sum({subject(one): one.ordinary for one in counted if step(one) > LIMITED}.values())
        if rule.ordinary and stopped + rule.ordinary > settings.budget_ordinary:
            return (
                f"it would stop {rule.ordinary:.0%} of its segment's ordinary traffic, automatic rules stop "
                f"{stopped:.0%}, the budget is {settings.budget_ordinary:.0%}"
            )
    return None
