"""Sliding windows against an obvious reference."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flows import F8, I8, NOBODY, U8
from analyzer.items import MOST_ITEMS
from analyzer.observe import DISTINCT, FEATURES, SUMS, Contribution
from analyzer.rings import BUCKETS, LENGTHS, TICKS
from analyzer.windows import Seen, Windows, feature

Event = tuple[float, int, int, int]
EVENTS = st.lists(
    st.tuples(st.floats(0, 100), st.integers(0, 3), st.integers(1, 6), st.integers(0, 1000)), min_size=1, max_size=60
)


def contribution(events: list[Event]) -> Contribution:
    """Each event opens one flow of so many packets to one host."""
    count = len(events)
    sums, items = np.zeros((count, len(SUMS))), np.zeros((len(DISTINCT), count), np.uint64)
    sums[:, SUMS.index("flows")] = 1
    sums[:, SUMS.index("packets")] = [amount for *_, amount in events]
    items[DISTINCT.index("in_hosts")] = [item for _, _, item, _ in events]
    return bare(np.array([subject for _, subject, *_ in events]), sums, items)


def bare(subject: I8, sums: F8, items: U8) -> Contribution:
    """Deeds that are aimed at nobody."""
    none, nobody = np.zeros(len(subject), bool), np.full(len(subject), NOBODY)
    return Contribution(subject, ~none, sums, items, nobody, none, np.zeros(len(subject), np.uint64))


def add(to: Windows, time: float, what: Contribution) -> Seen:
    """All in one step; everybody is watched."""
    return to.add(np.array([0, len(what)]), np.array([time]), what, np.ones(4, bool))


def expected(events: list[Event], subject: int, length: float, now: float) -> tuple[float, float, int]:
    """Flows, packets and hosts of a subject in the buckets that a window covers."""
    bucket = round(length * TICKS / BUCKETS)

    def number(time: float) -> int:
        return int(np.floor(time * TICKS)) // bucket

    inside = [e for e in events if e[1] == subject and number(e[0]) > number(now) - BUCKETS]
    return len(inside), sum(e[3] for e in inside), len({e[2] for e in inside})


@given(EVENTS, st.floats(0, 30))
def test_windows_hold_what_a_list_would(events: list[Event], later: float) -> None:
    """At each step and after any pause, sums and distinct items of every length are those of a plain list."""
    made = Windows(4, 5)
    events = sorted(events)
    for i, event in enumerate(events):
        add(made, event[0], contribution([event]))
        _compare(made, events[: i + 1], event[0])
    made.advance(events[-1][0] + later)
    _compare(made, events, events[-1][0] + later)


def _compare(made: Windows, events: list[Event], now: float) -> None:
    values = made.values(np.arange(4))
    for subject in range(4):
        for length in LENGTHS:
            got = tuple(float(feature(values, name, length)[subject]) for name in ("flows", "packets", "in_hosts"))
            assert got == expected(events, subject, length, now)


@given(EVENTS)
def test_a_batch_counts_like_its_events(events: list[Event]) -> None:
    """Many events in one call count as the same events one by one."""
    at_once, one_by_one = Windows(4, 5), Windows(4, 5)
    add(at_once, 50.0, contribution(events))
    for event in events:
        add(one_by_one, 50.0, contribution([event]))
    assert np.array_equal(at_once.values(np.arange(4)), one_by_one.values(np.arange(4)))


@given(EVENTS, st.integers(1, 7))
def test_many_steps_at_once_show_what_each_alone_would(events: list[Event], size: int) -> None:
    """However steps are cut into calls, what is seen at the end of each is the same."""
    events = sorted(events)
    edges = np.array([*range(0, len(events), size), len(events)])
    times = np.array([events[end - 1][0] for end in edges[1:]])
    together, apart = Windows(4, 5), Windows(4, 5)
    seen = together.add(edges, times, contribution(events), np.ones(4, bool))
    for k, (begin, end) in enumerate(pairwise(edges.tolist())):
        alone = add(apart, times[k], contribution(events[begin:end]))
        part = slice(seen.edges[k], seen.edges[k + 1])
        assert seen.subject[part].tolist() == alone.subject.tolist()
        assert np.array_equal(seen.values[:, part], alone.values)
        assert np.array_equal(alone.values, apart.values(alone.subject))


def test_only_the_watched_are_shown() -> None:
    """Whoever is not watched is counted all the same."""
    made = Windows(3, 1)
    what = contribution([(100.0, 1, 1, 5), (100.0, 2, 1, 6)])
    seen = made.add(np.array([0, 2]), np.array([100.0]), what, np.array([False, False, True]))
    assert seen.subject.tolist() == [2]
    assert feature(made.values(np.array([1])), "packets", 1.0).tolist() == [5.0]


def test_time_does_not_go_back() -> None:
    """Late events count at the newest time seen; nothing that is in the windows is lost by them."""
    made = Windows(2, 1)
    add(made, 100.0, contribution([(100.0, 1, 1, 5)]))
    add(made, 20.0, contribution([(20.0, 1, 2, 7)]))
    values = made.values(np.array([1]))
    assert feature(values, "packets", 1.0).tolist() == [12.0]
    assert feature(values, "in_hosts", 1.0).tolist() == [2.0]
    assert made.now == 100.0


def test_a_leap_of_days_empties_everything() -> None:
    """After a pause longer than all windows every value is zero."""
    made = Windows(2, 1)
    add(made, 100.0, contribution([(100.0, 1, 1, 5)]))
    made.advance(100.0 + 5 * 86400)
    assert not made.values(np.arange(2)).any()


def test_forgetting_one_leaves_the_others() -> None:
    """A forgotten subject starts from zero; its neighbour keeps everything, and ages as before."""
    made = Windows(3, 1)
    add(made, 100.0, contribution([(100.0, 1, 1, 5), (100.0, 2, 1, 6)]))
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
    count = MOST_ITEMS // 2
    for step in range(5):
        items = np.arange(count, dtype=np.uint64) + np.uint64(step * count)
        what = bare(np.ones(count, np.int64), np.zeros((count, len(SUMS))), np.zeros((len(DISTINCT), count), np.uint64))
        what.items[DISTINCT.index("in_hosts")] = items + np.uint64(1)
        add(made, 100.0 + step * 5, what)
    recent = feature(made.values(np.array([1])), "in_hosts", 1.0)[0]
    assert 0.5 * count <= recent <= count
    assert feature(made.values(np.array([1])), "in_hosts", 600.0)[0] <= MOST_ITEMS


def test_every_feature_has_a_name_once() -> None:
    """Feature names are unique, so a column is never read for another."""
    assert len(set(FEATURES)) == len(FEATURES) == len(SUMS) + len(DISTINCT)
