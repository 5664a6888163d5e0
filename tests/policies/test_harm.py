"""When ordinary flows that are dropped are harm."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from policies.harm import EXAMPLES, Budget, Denied, answerable, evidence, in_words, judge
from policies.rules import Action, SegmentationRule

BUDGET = Budget(10, 60.0)
QUERY = Denied("app1", "db1", ip_address("10.0.2.1"), ip_address("10.0.3.1"), 6, 5432, 40000, 6, 100.0, 101.0)


def test_a_budget_is_a_number_of_flows_within_a_time() -> None:
    """As many as it allows are no harm, one more is; those of long ago do not count."""
    assert judge([QUERY, replace(QUERY, flows=4)], BUDGET, 110.0) is None
    found = judge([QUERY, replace(QUERY, source_vm="app2", flows=5, last=103.0)], BUDGET, 110.0)
    assert found is not None
    assert (found.flows, found.ends, found.services) == (11, ("app1", "app2"), ("db1 tcp/5432",))
    assert (found.first, found.last) == (100.0, 103.0)
    assert judge([QUERY, replace(QUERY, flows=5, last=103.0)], BUDGET, 162.0) is None
    assert judge([], BUDGET, 0.0) is None


def test_the_evidence_shows_who_missed_what() -> None:
    """Services with most flows first, and some of the flows one by one."""
    kinds = [replace(QUERY, port=port, flows=port) for port in range(1, 9)]
    outside = replace(QUERY, source_vm=None, source=ip_address("192.0.2.9"), protocol=1, port=0)
    found = judge([*kinds, outside], BUDGET, 110.0)
    assert found is not None
    told = evidence(found, BUDGET)
    assert told["missed_by"] == ["192.0.2.9", "app1"]
    assert told["services"][:2] == ["db1 tcp/8", "db1 tcp/7"]
    assert "db1 icmp" in told["services"]
    assert [one["flows"] for one in told["examples"]] == [8, 7, 6, 6, 5]
    assert len(told["examples"]) == EXAMPLES
    assert told["examples"][0]["source"] == "app1 10.0.2.1"
    assert in_words(found, BUDGET).startswith(
        "42 ordinary flows of 2 ends dropped within 60 s (budget 10), to db1 tcp/8"
    )


def test_who_is_isolated_is_to_miss_everything() -> None:
    """What other rules drop may be harm."""
    rule = SegmentationRule("0" * 12, Action.ISOLATE, "anna", 0.0, source_vm="app1")
    assert not answerable(rule)
    assert all(answerable(replace(rule, action=action)) for action in Action if action is not Action.ISOLATE)
