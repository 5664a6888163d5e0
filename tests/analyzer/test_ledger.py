"""Every packet of a flow table comes onto the record exactly once."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.attribute import SIDE
from analyzer.flows import SYN, Array
from analyzer.ledger import Parts
from analyzer.pair import SILENT_SECONDS, FlowTable

MEMORY = 12


def side(source: int, target: int, port: int, first: float, last: float, pkts: int, flags: int = 0) -> Array:
    row = np.zeros(1, SIDE)
    row["src_lo"], row["src_vm"], row["dst_lo"], row["dst_vm"] = source, source, target, target
    row["src_port"], row["dst_port"] = (port, 80) if source < target else (80, port)
    row["first"], row["last"], row["proto"], row["flags"] = first, last, 6, flags
    row["pkts"], row["bytes"] = pkts, 100 * pkts
    return row


def recorded(table: FlowTable, now: float, seconds: float = 60.0) -> Parts:
    table.finish(now)
    return table.record(seconds)


def test_a_flow_that_ends_is_recorded_once_and_whole() -> None:
    """Both directions in one row, when it has fallen silent; then never again."""
    table = FlowTable(MEMORY, 1, recorded=True)
    table.update(side(1, 2, 4000, 10.0, 12.0, 5, SYN))
    table.update(side(2, 1, 4000, 10.5, 13.0, 3))
    assert len(recorded(table, 13.0 + SILENT_SECONDS)) == 0
    parts = recorded(table, 14.0 + SILENT_SECONDS)
    row = parts.rows[0]
    assert (row["src_pkts"], row["dst_pkts"], row["src_bytes"], row["dst_bytes"]) == (5, 3, 500, 300)
    assert (row["start"], row["end"], parts.opened[0], parts.number[0]) == (10.0, 13.0, 10.0, 0)
    assert len(recorded(table, 99.0)) == 0


def test_a_flow_that_lasts_is_recorded_in_parts() -> None:
    """Each part begins where the last one ended, has its own packets, and names the flow's opening."""
    table = FlowTable(MEMORY, 1, recorded=True)
    found = []
    for second in range(100, 170):
        table.update(side(1, 2, 4000, 100.0, second + 0.5, 2, SYN))
        found.append(recorded(table, second + 1.0, seconds=30.0))
    parts = Parts.concat(found)
    assert parts.number.tolist() == [0, 1]
    assert parts.opened.tolist() == [100.0, 100.0]
    assert parts.rows["start"].tolist() == [100.0, 130.5]
    assert parts.rows["end"].tolist() == [130.5, 160.5]
    assert parts.rows["src_pkts"].tolist() == [62, 60]
    rest = recorded(table, 200.0)
    assert (rest.number.tolist(), rest.rows["src_pkts"].tolist()) == ([2], [18])


def test_a_flow_that_comes_back_after_its_end_goes_on_in_a_part() -> None:
    """Silent for longer than is waited for, then more packets: the second row holds those alone."""
    table = FlowTable(MEMORY, 1, recorded=True)
    table.update(side(1, 2, 4000, 10.0, 11.0, 5))
    first = recorded(table, 30.0)
    table.update(side(1, 2, 4000, 10.0, 31.0, 4))
    second = recorded(table, 50.0)
    assert (first.rows["src_pkts"][0], second.rows["src_pkts"][0], second.number[0]) == (5, 4, 1)
    assert second.rows["start"][0] == 11.0


def test_a_connection_on_the_same_ports_displaces_its_forerunner_onto_the_record() -> None:
    """A new SYN before the old flow's end was seen: two flows, neither with the other's packets."""
    table = FlowTable(MEMORY, 1, recorded=True)
    table.update(side(1, 2, 4000, 10.0, 10.5, 5, SYN))
    table.update(side(1, 2, 4000, 12.0, 12.5, 7, SYN))
    parts = recorded(table, 30.0)
    assert sorted(parts.rows["src_pkts"].tolist()) == [5, 7]
    assert sorted(parts.opened.tolist()) == [10.0, 12.0]
    assert parts.number.tolist() == [0, 0]


def test_a_full_table_forgets_nothing_that_is_not_on_record() -> None:
    """Ten times more flows than there is memory for, all at once: all are recorded."""
    table = FlowTable(MEMORY, 1, recorded=True)
    for port in range(1, 10 * MEMORY + 1):
        table.update(side(1, 2, port, 10.0, 10.0, port, SYN))
    parts = recorded(table, 30.0)
    assert sorted(parts.rows["src_pkts"].tolist()) == list(range(1, 10 * MEMORY + 1))


def test_finished_flows_are_given_once_even_when_reopened() -> None:
    """What is learned from finished flows does not count a reopened one twice."""
    table = FlowTable(MEMORY, 1)
    table.update(side(1, 2, 4000, 10.0, 10.5, 5, SYN))
    table.update(side(1, 2, 4000, 12.0, 12.5, 7, SYN))
    assert len(table.finish(30.0)) == 1


def test_a_table_without_ledger_cannot_be_recorded() -> None:
    """Asking it is a mistake in the program, not an empty answer."""
    with pytest.raises(AssertionError, match="no ledger"):
        FlowTable(MEMORY, 1).record(1.0)


STEP = st.tuples(
    st.sampled_from([(1, 2), (2, 1), (1, 3), (3, 1)]), st.integers(1, 8), st.integers(0, 9), st.booleans(),
    st.sampled_from([0.2, 2.0, 9.0, 70.0, 130.0]), st.booleans(),
)  # fmt: skip


@given(st.lists(STEP, max_size=60))
def test_the_record_adds_up(steps: list[tuple[tuple[int, int], int, int, bool, float, bool]]) -> None:
    """However flows open, last, pause, reopen and push each other out: packets sent are packets recorded."""
    table = FlowTable(MEMORY, 1, recorded=True)
    sent: Counter[frozenset[int]] = Counter()
    found = []
    now = 1000.0
    for (source, target), port, pkts, opens, pause, look in steps:
        now += pause
        table.update(side(source, target, port, now, now + 0.1, pkts, SYN if opens else 0))
        sent[frozenset((source, target, 100 + port))] += pkts
        if look:
            found.append(recorded(table, now))
    table.finish(now)
    parts = Parts.concat([*found, table.record(0.0)])
    got: Counter[frozenset[int]] = Counter()
    for row in parts.rows:
        port = 100 + int(row["src_port"] if row["dst_port"] == 80 else row["dst_port"])
        got[frozenset((int(row["src_lo"]), int(row["dst_lo"]), port))] += int(row["src_pkts"] + row["dst_pkts"])
    assert +got == +sent
    assert (parts.rows["start"] <= parts.rows["end"]).all()
    assert (parts.opened <= parts.rows["start"]).all()
