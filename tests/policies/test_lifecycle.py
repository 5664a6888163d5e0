"""The life of a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lifecycle import OVER, RETRY_SECONDS_MAX, Deadlines, RuleRecord, backoff, due_at, move
from policies.rules import Action, RuleState, SegmentationRule
from runtime.errors import PolicyError

RULE = SegmentationRule("a" * 12, Action.ISOLATE, "anna", 0.0, source_vm="web1", expires=100.0)
LEAVING = (RuleState.EXPIRING, RuleState.PROBATION)
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
        assert not (before.ended_at is not None and record.ended_at != before.ended_at)
        assert not (before.state is RuleState.ENFORCED and record.ended_at is None)
        assert (record.ended_at is not None) == (record.state in OVER or record.state in LEAVING)
    # What waits for approval is in no switch, so it does not have to leave any.
    waited = record.ended_at is not None and record.removed_at is not None
    assert record.leaving == (record.ended_at is not None and not waited)
    assert not waited or (RuleState.PROPOSED in states and record.over)


def test_a_failed_rule_is_due_later_each_time() -> None:
    """Tries come at growing distances, up to a minute, and begin anew after success."""
    record, now, waits = NEW, 0.0, []
    for _ in range(8):
        record = move(record, RuleState.FAILED, now)
        assert record.retry_at is not None
        waits.append(record.retry_at - now)
        now = record.retry_at
        assert due_at(replace(record, rule=replace(RULE, expires=None))) == now
        record = move(record, RuleState.INSTALLING, now)
    assert waits == sorted(waits)
    assert waits[0] < waits[1]
    assert waits[-1] == RETRY_SECONDS_MAX == backoff(10_000)
    assert move(record, RuleState.ENFORCED, now).attempts == 0


def test_a_rule_is_due_when_something_happens_to_it_next() -> None:
    """The end of its time while it stands, the next try if that is sooner, the end of waiting, and never when over."""
    failed = move(NEW, RuleState.FAILED, 10.0)
    assert (due_at(NEW), due_at(failed)) == (100.0, failed.retry_at)
    assert due_at(move(move(NEW, RuleState.FAILED, 99.0), RuleState.INSTALLING, 99.5)) == 100.0
    assert due_at(replace(NEW, state=RuleState.PROPOSED, until=50.0)) == 50.0
    expiring = move(NEW, RuleState.EXPIRING, 100.0)
    assert due_at(expiring) is None, "it waits for the switches"
    assert due_at(replace(move(expiring, RuleState.PROBATION, 101.0), until=200.0)) == 200.0
    assert due_at(move(expiring, RuleState.EXPIRED, 101.0)) is None


def test_what_was_only_proposed_never_has_to_leave() -> None:
    """A proposal that ends was in no switch; any other ended rule may still be there."""
    waiting = replace(NEW, state=RuleState.PROPOSED)
    assert not move(waiting, RuleState.EXPIRED, 5.0).leaving
    assert move(NEW, RuleState.ROLLED_BACK, 5.0).leaving
    assert move(move(NEW, RuleState.EXPIRING, 5.0), RuleState.PROBATION, 6.0).leaving


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.floats(0, 100)), max_size=60), st.floats(0, 100))
def test_deadlines_are_those_set_last(changes: list[tuple[str, float | None]], now: float) -> None:
    """Whatever was set before, each rule is due once, at its last time, and the earliest comes first."""
    deadlines, expected = Deadlines(), dict[str, float | None]()
    for identity, time in changes:
        deadlines.set(identity, time)
        expected[identity] = time
    times = {identity: time for identity, time in expected.items() if time is not None}
    assert deadlines.next_time() == min(times.values(), default=None)
    taken = deadlines.take(now)
    assert sorted(taken) == sorted(identity for identity, time in times.items() if time <= now)
    assert [times[identity] for identity in taken] == sorted(times[identity] for identity in taken)
    assert deadlines.take(now) == []


def test_a_move_that_cannot_be_says_so() -> None:
    """Releasing a released rule names its state."""
    with pytest.raises(PolicyError, match="is released, it cannot become released"):
        move(move(NEW, RuleState.RELEASED, 1.0), RuleState.RELEASED, 2.0)
