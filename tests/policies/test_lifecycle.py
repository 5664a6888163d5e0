"""The life of a rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lifecycle import RETRY_SECONDS_MAX, RuleRecord, backoff, due, expired, move, next_time
from policies.rules import Action, RuleState, SegmentationRule
from runtime.errors import PolicyError

RULE = SegmentationRule("a" * 12, Action.ISOLATE, "anna", 0.0, source_vm="web1", expires=100.0)
NEW = RuleRecord(RULE, RuleState.INSTALLING, 0.0, ("v1",))


@given(st.lists(st.sampled_from(list(RuleState)), max_size=12))
def test_no_sequence_of_moves_leads_out_of_an_end(states: list[RuleState]) -> None:
    """Whatever is tried, an ended rule stays ended, an enforced one does not go back, and times tell the order."""
    record = NEW
    for now, state in enumerate(states, 1):
        before = record
        try:
            record = move(record, state, float(now))
        except PolicyError:
            continue
        assert not before.over
        assert record.changed_at == now
        assert not (before.state is RuleState.ENFORCED and not record.over)
        assert (record.ended_at is not None) == record.over
    assert record.leaving == (record.state in (RuleState.RELEASED, RuleState.EXPIRED))


def test_a_failed_rule_is_due_later_each_time() -> None:
    """Tries come at growing distances, up to a minute, and begin anew after success."""
    record, now, waits = NEW, 0.0, []
    for _ in range(8):
        record = move(record, RuleState.FAILED, now)
        assert record.retry_at is not None
        waits.append(record.retry_at - now)
        now = record.retry_at
        assert due([record], now - 0.1) == []
        assert due([record], now) == [record]
        record = move(record, RuleState.INSTALLING, now)
    assert waits == sorted(waits)
    assert waits[0] < waits[1]
    assert waits[-1] == RETRY_SECONDS_MAX == backoff(10_000)
    assert move(record, RuleState.ENFORCED, now).attempts == 0


def test_rules_end_when_their_time_is_over() -> None:
    """Expiry concerns what has not ended, at its very second."""
    assert expired([NEW], 99.9) == []
    assert expired([NEW], 100.0) == [NEW]
    ended = move(NEW, RuleState.RELEASED, 50.0)
    assert expired([ended], 200.0) == []
    assert next_time([NEW, ended]) == 100.0
    assert next_time([ended]) is None


def test_a_move_that_cannot_be_says_so() -> None:
    """Releasing a released rule names its state."""
    with pytest.raises(PolicyError, match="is released, it cannot become released"):
        move(move(NEW, RuleState.RELEASED, 1.0), RuleState.RELEASED, 2.0)
