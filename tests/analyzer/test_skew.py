"""The least difference between arrival and sending is the clocks' difference."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.skew import TOLERATED, WINDOW_SECONDS, Clocks


def correct(clocks: Clocks, sent: list[float], received: list[float], vfn: int = 3) -> list[float]:
    return clocks.correction(np.full(len(sent), vfn), np.array(sent), np.array(received)).tolist()


def test_clocks_that_agree_are_left_alone() -> None:
    """The way of a datagram, and a burst that waited in the socket, are no difference of clocks."""
    clocks = Clocks()
    assert correct(clocks, [10.0, 10.1], [10.001, 10.2]) == [0.0, 0.0]
    assert correct(clocks, [11.0], [13.0]) == [0.0]
    assert clocks.offsets == {}


@given(st.floats(-5000, 5000).filter(lambda offset: abs(offset) > 2 * TOLERATED), st.lists(st.floats(0, 3), min_size=1))
def test_the_difference_is_found_however_late_datagrams_are(offset: float, delays: list[float]) -> None:
    """With one that came at once among them, times are right to less than what is tolerated."""
    clocks = Clocks()
    sent = [1000.0 + i for i in range(len(delays) + 1)]
    received = [t + offset + delay for t, delay in zip(sent, [0.001, *delays], strict=True)]
    assert correct(clocks, sent, received) == pytest.approx([offset] * len(sent), abs=TOLERATED)


def test_each_vfn_has_its_own_clock() -> None:
    """In one burst, too."""
    clocks = Clocks()
    found = clocks.correction(np.array([1, 2, 1]), np.array([10.0, 50.0, 11.0]), np.array([10.0, 11.0, 11.0]))
    assert found.tolist() == [0.0, -39.0, 0.0]
    assert clocks.offsets == {2: -39.0}


def test_a_clock_that_is_set_right_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    """Ahead at first, right later: an old difference is forgotten after two spans. Both are said once."""
    clocks = Clocks()
    with caplog.at_level(logging.WARNING):
        now = 1000.0
        while now < 1000.0 + 3 * WINDOW_SECONDS:
            ahead = 7.0 if now < 1010 else 0.0
            added = correct(clocks, [now + ahead], [now])
            now += 1.0
    assert added == [0.0]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
