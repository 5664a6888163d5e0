"""What is judged when more comes than can be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flows import FlowBatch, FlowState
from analyzer.shedding import PAIR_SECONDS, Shedder, level


def events(count: int, vm: int, *, to: int = 0, seed: int = 0, end: float = 1000.0) -> np.ndarray:
    """Of one VM at port `vm`, each of another flow, none of which is new."""
    rng = np.random.default_rng(seed)
    rows = FlowBatch.empty(count).rows
    rows["src_vm"], rows["port"], rows["dst_vm"], rows["end"] = vm, vm, to, end
    rows["src_lo"], rows["dst_lo"] = vm, rng.integers(1, 1 << 60, count)
    return rows


def test_nothing_is_shed_that_can_be_judged() -> None:
    """As many as there is room for, or fewer."""
    shedder = Shedder(1)
    assert shedder.choose(events(100, 1), 100).all()
    assert not len(shedder.choose(events(0, 1), 100))
    assert shedder.shed == 0


def test_a_flood_takes_no_other_vms_place() -> None:
    """Whoever has less than its even share is judged whole."""
    rows = np.concatenate([events(100_000, 1), events(300, 2, seed=1), events(20, 3, seed=2)])
    shedder = Shedder(1)
    chosen = shedder.choose(rows, 2000)
    assert chosen[100_000:].all()
    assert 1400 < chosen[:100_000].sum() < 1960  # of 1,680
    assert shedder.shed == (~chosen).sum()


def test_the_same_flows_stay() -> None:
    """A smaller sample is part of a larger one, in whatever company its flows come."""
    rows = events(10_000, 1)
    large, small = Shedder(1).choose(rows, 4000), Shedder(1).choose(np.roll(rows, 7), 1000)
    assert (np.roll(small, -7) <= large).all()
    assert 800 < small.sum() < 1200


def test_first_packets_of_new_pairs_of_vms_stay() -> None:
    """One of each pair, until it has been judged; then its flows are like any other."""
    old = events(50_000, 1)
    new = np.concatenate([events(3, 1, to=vm, seed=vm) for vm in range(2, 102)])
    new["state"] = FlowState.NEW
    shedder = Shedder(1)
    chosen = shedder.choose(np.concatenate([old, new]), 1000)[50_000:].reshape(100, 3)
    assert chosen[:, 0].all()
    again = shedder.choose(np.concatenate([old, new]), 1000)[50_000:]
    assert again.mean() < 0.1
    late = np.concatenate([old, new])
    late["end"] += 3 * PAIR_SECONDS
    shedder.choose(old[:1], 1000)
    assert shedder.choose(events(1, 1, end=1000.0 + 1.5 * PAIR_SECONDS), 1000).all()
    assert shedder.choose(late, 1000)[50_000:].reshape(100, 3)[:, 0].all()


def test_another_salt_chooses_others() -> None:
    """Nobody can know beforehand which flows are left out."""
    rows = events(10_000, 1)
    one, other = Shedder(1).choose(rows, 1000), Shedder(2).choose(rows, 1000)
    assert (one & other).sum() < 300


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40), st.integers(0, 100_000))
def test_the_level_fills_the_room(counts: list[int], room: int) -> None:
    """Nobody has more than the level, and all together have what there is room for."""
    most = room % sum(counts)
    found = level(np.array(counts), most)
    assert abs(sum(min(count, found) for count in counts) - most) < 1e-6 * max(1, most) + 1e-6
