"""Sliding windows against an obvious reference."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import windows as rooms
from analyzer.observe import DISTINCT, FEATURES, SUMS, Contribution
from analyzer.windows import BUCKETS, LENGTHS, Windows, feature

Event = tuple[float, int, int, int]
EVENTS = st.lists(
    st.tuples(st.floats(0, 100), st.integers(0, 3), st.integers(1, 6), st.integers(0, 1000)), min_size=1, max_size=60
)


def contribution(events: list[Event]) -> Contribution:
    """Each event opens one flow of so many packets to one host."""
    sums = np.zeros((len(events), len(SUMS)))
    sums[:, SUMS.index("flows")] = 1
    sums[:, SUMS.index("packets")] = [amount for *_, amount in events]
    hosts = np.array([item for _, _, item, _ in events], np.uint64)
    none, all_ = np.zeros(len(events), bool), np.ones(len(events), bool)
    return Contribution(sums, {name: (all_ if name == "in_hosts" else none, hosts) for name in DISTINCT})


def expected(events: list[Event], subject: int, length: float, now: float) -> tuple[float, float, int]:
    """Flows, packets and hosts of a subject in the buckets that a window covers."""
    width = length / BUCKETS
    inside = [e for e in events if e[1] == subject and e[0] // width > now // width - BUCKETS]
    return len(inside), sum(e[3] for e in inside), len({e[2] for e in inside})


@settings(max_examples=60)
@given(EVENTS, st.floats(0, 30))
def test_windows_hold_what_a_list_would(events: list[Event], later: float) -> None:
    """At each step and after any pause, sums and distinct items of every length are those of a plain list."""
    made = Windows(4, 5)
    events = sorted(events)
    for i, event in enumerate(events):
        made.add(event[0], np.array([event[1]]), contribution([event]))
        _compare(made, events[: i + 1], event[0])
    made.advance(events[-1][0] + later)
    _compare(made, events, events[-1][0] + later)


def _compare(made: Windows, events: list[Event], now: float) -> None:
    values = made.values(np.arange(4))
    for subject in range(4):
        for length in LENGTHS:
            got = tuple(float(feature(values, name, length)[subject]) for name in ("flows", "packets", "in_hosts"))
            assert got == expected(events, subject, length, now)


@settings(max_examples=40)
@given(EVENTS)
def test_a_batch_counts_like_its_events(events: list[Event]) -> None:
    """Many events in one call count as the same events one by one."""
    at_once, one_by_one = Windows(4, 5), Windows(4, 5)
    at_once.add(50.0, np.array([e[1] for e in events]), contribution(events))
    for event in events:
        one_by_one.add(50.0, np.array([event[1]]), contribution([event]))
    assert np.array_equal(at_once.values(np.arange(4)), one_by_one.values(np.arange(4)))


def test_time_does_not_go_back() -> None:
    """Late events count at the newest time seen; nothing that is in the windows is lost by them."""
    made = Windows(2, 1)
    made.add(100.0, np.array([1]), contribution([(100.0, 1, 1, 5)]))
    made.add(20.0, np.array([1]), contribution([(20.0, 1, 2, 7)]))
    values = made.values(np.array([1]))
    assert feature(values, "packets", 1.0).tolist() == [12.0]
    assert feature(values, "in_hosts", 1.0).tolist() == [2.0]
    assert made.now == 100.0


def test_a_leap_of_days_empties_everything() -> None:
    """After a pause longer than all windows every value is zero."""
    made = Windows(2, 1)
    made.add(100.0, np.array([1]), contribution([(100.0, 1, 1, 5)]))
    made.advance(100.0 + 5 * 86400)
    assert not made.values(np.arange(2)).any()


def test_forgetting_one_leaves_the_others() -> None:
    """A forgotten subject starts from zero; its neighbour keeps everything, and ages as before."""
    made = Windows(3, 1)
    made.add(100.0, np.array([1, 2]), contribution([(100.0, 1, 1, 5), (100.0, 2, 1, 6)]))
    made.forget(np.array([1]))
    values = made.values(np.arange(3))
    assert not values[:, 1].any()
    assert feature(values, "in_hosts", 10.0).tolist() == [0.0, 0.0, 1.0]
    made.advance(109.5)
    assert feature(made.values(np.arange(3)), "in_hosts", 10.0).tolist() == [0.0, 0.0, 1.0]
    made.advance(110.5)
    assert feature(made.values(np.arange(3)), "in_hosts", 10.0).tolist() == [0.0, 0.0, 0.0]


def test_memory_is_bounded() -> None:
    """More distinct items than are remembered: counts stay right for the recent ones and nothing grows."""
    made = Windows(2, 1)
    count = rooms.MOST_ITEMS // 2
    for step in range(5):
        items = np.arange(count, dtype=np.uint64) + np.uint64(step * count)
        sums = np.zeros((count, len(SUMS)))
        none = np.zeros(count, bool)
        what = Contribution(sums, {name: ((none if name != "in_hosts" else ~none), items) for name in DISTINCT})
        made.add(100.0 + step * 5, np.ones(count, np.int64), what)
    recent = feature(made.values(np.array([1])), "in_hosts", 1.0)[0]
    assert 0.5 * count <= recent <= count
    assert feature(made.values(np.array([1])), "in_hosts", 600.0)[0] <= rooms.MOST_ITEMS


def test_every_feature_has_a_name_once() -> None:
    """Feature names are unique, so a column is never read for another."""
    assert len(set(FEATURES)) == len(FEATURES) == len(SUMS) + len(DISTINCT)
