"""Sums of counters by rule: what each entry counts, and that nothing is lost or counted twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policies.desired import Desired, Layer
from policies.entries import Field, SetField, TableEntry
from policies.hits import Hit, Hits, What, default_of
from policies.pipeline.tables import MARK, OUTSIDE_PORT, Table
from runtime.arrays import COUNTER

MARKED = (SetField(MARK, 5),)
ENTRIES = {
    1: TableEntry(Table.ENFORCEMENT, 9, (), MARKED, Table.COMMIT, ("sql",)),
    2: TableEntry(Table.ENFORCEMENT, 8, (), (), None, ("cut",)),
    3: TableEntry(Table.ENFORCEMENT, 7, (), MARKED, Table.LOOKUP, ("no",)),
    4: TableEntry(Table.REVERSE, 9, (), (), Table.SENT, ("sql",)),
    5: TableEntry(Table.REVERSE, 8, (), (), Table.DENIED, ("no",)),
    6: TableEntry(Table.DENIED, 5, (Field(MARK, 6),), (), None, ("no", "never")),
    7: TableEntry(Table.DENIED, 5, (Field(MARK, OUTSIDE_PORT + 3),)),
    8: TableEntry(Table.SHADOW_DENIED, 5, (Field(MARK, 7),), (), None, ("trial",)),
    9: TableEntry(Table.SOURCE, 5, (), (), Table.DESTINATION),
}
DESIRED = Desired([(Layer(dict(list(ENTRIES.items())[:4])), Layer(dict(list(ENTRIES.items())[4:])))])


def counters(packets: dict[int, int]) -> np.ndarray:
    """Rows of these cookies, of 10 bytes a packet."""
    rows = [(cookie, count, 10 * count, ENTRIES[cookie].table) for cookie, count in packets.items()]
    return np.array(rows, COUNTER)


def test_each_table_tells_what_became_of_packets() -> None:
    """Denials where they are dropped, allows where they are decided, answers where their connection is."""
    hits = Hits()
    hits.take("v1", counters({cookie: cookie * 100 for cookie in ENTRIES}), DESIRED)
    assert hits.of("sql") == {("v1", What.ALLOWED): Hit(100, 1000), ("v1", What.ANSWERS): Hit(400, 4000)}
    assert hits.of("cut") == {("v1", What.DENIED): Hit(200, 2000)}
    assert hits.of("no") == hits.of("never") == {("v1", What.DENIED): Hit(600, 6000)}
    assert hits.of(default_of(3)) == {("v1", What.DENIED): Hit(700, 7000)}
    assert hits.of("trial") == {("v1", What.OBSERVED): Hit(800, 8000)}
    assert hits.of("nobody") == {}


def test_vfns_are_counted_apart_and_only_differences_added() -> None:
    """The same counters again add nothing."""
    hits = Hits()
    for packets in (5, 5, 9):
        hits.take("v1", counters({1: packets}), DESIRED)
    hits.take("v2", counters({1: 1}), DESIRED)
    assert hits.of("sql") == {("v1", What.ALLOWED): Hit(9, 90), ("v2", What.ALLOWED): Hit(1, 10)}


def test_what_is_kept_is_kept() -> None:
    """Sums of rules that are over are forgotten."""
    hits = Hits()
    hits.take("v1", counters({1: 5, 2: 6}), DESIRED)
    hits.keep({"cut"})
    assert (hits.of("sql"), hits.of("cut")) == ({}, {("v1", What.DENIED): Hit(6, 60)})


def test_a_rule_by_another_name_is_known_when_its_layer_is_new() -> None:
    """The same cookie, as its content is the same, now stands for another rule."""
    hits = Hits()
    hits.take("v1", counters({2: 5}), DESIRED)
    renamed = TableEntry(Table.ENFORCEMENT, 8, (), (), None, ("other",))
    hits.take("v1", counters({1: 1, 2: 5}), Desired([(Layer({2: renamed}),), (Layer({1: ENTRIES[1]}),)]))
    hits.take("v1", counters({1: 1, 2: 7}), Desired([(Layer({2: renamed}),), (Layer({1: ENTRIES[1]}),)]))
    assert hits.of("cut") == {("v1", What.DENIED): Hit(5, 50)}
    assert hits.of("other") == {("v1", What.DENIED): Hit(2, 20)}


@given(st.lists(st.dictionaries(st.sampled_from((1, 2, 4, 6, 8)), st.integers(0, 9), max_size=5), max_size=8))
def test_sums_never_fall_and_miss_nothing_while_entries_come_and_go(growth: list[dict[int, int]]) -> None:
    """Each step: entries that are not named are gone; those that are named have met so much more."""
    hits, held, expected, missed = Hits(), {}, dict.fromkeys(ENTRIES, 0), set()
    for step in growth:
        missed |= {cookie for cookie in held if cookie not in step and held[cookie]}
        held = {cookie: held.get(cookie, 0) + more for cookie, more in step.items()}
        for cookie, more in step.items():
            expected[cookie] += more
        hits.take("v1", counters(held), DESIRED)
    for cookie, rule, what in ((1, "sql", What.ALLOWED), (2, "cut", What.DENIED), (4, "sql", What.ANSWERS)):
        found = hits.of(rule).get(("v1", what), Hit(0, 0))
        if cookie not in missed:
            assert found.packets == expected[cookie]
        assert found.packets <= expected[cookie]
