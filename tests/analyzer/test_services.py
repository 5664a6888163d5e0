"""Dealings with single services against an obvious reference, and their bounds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import services
from analyzer.dealings import Dealings
from analyzer.flows import FLOW, TCP, FlowState
from analyzer.observe import Novelty
from analyzer.services import PAUSE, VISIT, Services, blame

Event = tuple[float, int, int, bool, int]
EVENTS = st.lists(
    st.tuples(st.floats(0, 5000), st.integers(1, 2), st.integers(1, 3), st.booleans(), st.integers(0, 900)),
    min_size=1,
    max_size=40,
)


def flows(events: list[Event]) -> np.ndarray:
    """Each event opens a connection of a VM to a host at a time; it may fail; it sends so many bytes."""
    rows = np.zeros(len(events), FLOW)
    rows["start"] = rows["end"] = [e[0] for e in events]
    rows["src_vm"], rows["dst_lo"] = [e[1] for e in events], [e[2] for e in events]
    rows["proto"], rows["dst_port"] = TCP, 443
    rows["state"] = [FlowState.NEW | (FlowState.FAILED if e[3] else 0) for e in events]
    rows["src_bytes"] = [e[4] for e in events]
    return rows


def update(to: Services, rows: np.ndarray) -> Dealings:
    """All peers unknown, nobody excused."""
    yes, no = np.ones(len(rows), bool), np.zeros(len(rows), bool)
    edges = np.array([0, len(rows)])
    return to.update(edges, rows["src_vm"].astype(np.int64), rows, Novelty(yes, yes, yes), no).dealings


def risk(of: Services, rows: np.ndarray) -> list[float]:
    """Of the dealings that VMs' flows belong to; 0 where there is none."""
    slots = of.slots(rows["src_vm"].astype(np.int64), rows)
    return np.where(slots >= 0, of.table.rows["risk"][slots], 0.0).tolist()


@given(EVENTS, st.integers(1, 7))
def test_dealings_hold_what_a_list_would(events: list[Event], batch: int) -> None:
    """However the connections are cut into batches: their number, failures, bytes, and the pauses between visits."""
    events = sorted(events)
    made = Services(3)
    for i in range(0, len(events), batch):
        touched = update(made, flows(events[i : i + batch]))
    last = events[-1][1:3]
    at = [(r["subject"], r["dst_lo"]) for r in touched.rows].index(last)
    own = [e for e in events if e[1:3] == last]
    for i in range(len(own) - 1, 0, -1):
        if own[i][0] - own[i - 1][0] > PAUSE:
            own = own[i:]
            break
    row = touched.rows[at]
    gaps = [b[0] - a[0] for a, b in pairwise(own) if b[0] - a[0] >= VISIT]
    if len(own) == len([e for e in events if e[1:3] == last]):
        assert row["opened"] == len(own)
        assert row["failed"] == sum(e[3] for e in own)
        assert row["bytes_out"] == sum(e[4] for e in own)
        assert touched.span[at] == pytest.approx(own[-1][0] - own[0][0])
        assert row["gaps"] == len(gaps)
        assert touched.gap_spread[at] == pytest.approx(np.std(np.log(gaps)) if gaps else 0, abs=1e-6)
    assert row["outside"]
    assert row["unknown"]


def test_a_long_silence_begins_anew() -> None:
    """After an hour without a connection nothing counts that was before."""
    made = Services(3)
    update(made, flows([(float(t), 1, 1, True, 10) for t in range(0, 100, 10)]))
    again = update(made, flows([(100 + PAUSE + 1, 1, 1, False, 7)]))
    assert again.rows[["opened", "failed", "bytes_out", "gaps"]].tolist() == [(1.0, 0.0, 7.0, 0.0)]


def test_what_is_known_by_now_is_new_no_more() -> None:
    """A service that was unheard of when a VM turned to it first, and was learned meanwhile, is no longer told of."""
    made, rows = Services(3), flows([(0, 1, 1, False, 10)])
    assert update(made, rows).rows["unheard"].all()
    no = np.zeros(1, bool)
    known = made.update(np.array([0, 1]), np.ones(1, np.int64), rows, Novelty(no, no, no), no).dealings
    assert len(known) == 0


def test_sizes_come_from_finished_flows() -> None:
    """Alike messages have no spread, others have one; flows of unknown dealings are nobody's."""
    made = Services(3)
    alike = flows([(float(t), 1, 1, False, 500) for t in range(0, 100, 10)])
    mixed = flows([(float(t), 1, 2, False, 5 * 4**t) for t in range(8)])
    for rows in (alike, mixed):
        update(made, rows)
        made.sizes(rows["src_vm"].astype(np.int64), rows)
    made.sizes(np.array([2]), flows([(1.0, 2, 3, False, 5)]))
    spread = update(made, flows([(101.0, 1, 1, False, 500), (101.0, 1, 2, False, 5)])).size_spread
    assert min(spread.round(1).tolist()) == 0
    assert spread.max() > 2


def test_blame_stays_with_the_dealing() -> None:
    """Flows of a blamed dealing have its risk, those of another none."""
    made = Services(3)
    rows = flows([(1.0, 1, 1, False, 5), (1.0, 1, 2, False, 5)])
    touched = update(made, rows)
    blame(made.table, touched.keys[touched.rows["dst_lo"] == 1], np.array([70.0]), np.array([1.0]), 0, 1)
    assert risk(made, rows) == [70.0, 0.0]
    made.forget(np.array([1]))
    assert risk(made, rows) == [0.0, 0.0]


def test_forged_flows_and_answers_are_not_dealings() -> None:
    """What came under another's address, or answers a question that nobody saw, is not the VM's doing."""
    rows = flows([(1.0, 1, 1, False, 5)] * 2)
    rows["state"] = FlowState.NEW | FlowState.SPOOFED, FlowState.ANSWERED_ONLY
    assert len(update(Services(3), rows)) == 0


def test_memory_is_bounded() -> None:
    """A scan of more services than are remembered leaves the newest, and counts go on."""
    made = Services(3)
    part = services.MOST_SERVICES // 2
    for step in range(4):
        rows = np.zeros(part, FLOW)
        rows["start"], rows["src_vm"], rows["proto"], rows["state"] = step, 1, TCP, FlowState.NEW
        rows["dst_lo"] = np.arange(step * part, (step + 1) * part)
        assert len(update(made, rows)) == part
    assert update(made, rows).rows["opened"].tolist() == [2.0] * part
