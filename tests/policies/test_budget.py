"""How much automatic rules may take away from a segment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.budget import over
from policies.rules import Action, SegmentationRule
from runtime.settings import EngineSettings

RULE = SegmentationRule("a" * 12, Action.ISOLATE, "analyzer", 0.0, source_vm="new")
LIMIT = replace(RULE, action=Action.RATE_LIMIT)
SETTINGS = EngineSettings(budget_share=0.25, budget_limited_share=0.5, budget_vms=2, budget_ordinary=0.5)


def spent(rule: SegmentationRule, number: int, ordinary: float = 0.0) -> list[SegmentationRule]:
    return [replace(rule, source_vm=f"vm{n}", ordinary=ordinary) for n in range(number)]


@pytest.mark.parametrize(
    ("rule", "cut", "limited", "size", "exceeded"),
    [
        (RULE, 4, 0, 20, False),  # the fifth of a quarter of twenty
        (RULE, 5, 0, 20, True),
        (RULE, 1, 0, 3, False),  # two in any case
        (RULE, 2, 0, 3, True),
        (RULE, 0, 10, 20, False),  # limits have a budget of their own
        (LIMIT, 5, 9, 20, False),
        (LIMIT, 0, 10, 20, True),
    ],
)
def test_a_share_of_the_vms(rule: SegmentationRule, cut: int, limited: int, size: int, exceeded: bool) -> None:
    """VMs that are cut off, and VMs that are limited, each up to their share, and never fewer than some."""
    told = over(rule, [*spent(RULE, cut), *spent(LIMIT, limited)], size, SETTINGS)
    assert (told is not None) is exceeded
    assert told is None or f"of {size} VMs" in told


def test_a_vm_counts_once() -> None:
    """Several rules about one VM, and the next step against it, are one VM."""
    twice = [*spent(RULE, 5), *spent(replace(RULE, action=Action.DENY), 4)]
    assert over(replace(RULE, source_vm="vm3"), twice, 20, SETTINGS) is None
    assert over(RULE, twice[1:], 20, SETTINGS) is not None


def test_a_share_of_ordinary_traffic() -> None:
    """What rules stop of it adds up; one that stops nothing more is let in."""
    before = spent(RULE, 2, ordinary=0.2)
    assert over(replace(RULE, ordinary=0.1), before, 100, SETTINGS) is None
    told = over(replace(RULE, ordinary=0.2), before, 100, SETTINGS)
    assert told is not None
    assert "ordinary traffic" in told
    assert over(RULE, before, 100, SETTINGS) is None
