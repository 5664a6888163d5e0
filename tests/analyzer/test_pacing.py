"""When copies are counted."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from analyzer.pacing import MOST_SECONDS, REST, Pacing


def test_the_first_copy_is_counted_at_once() -> None:
    """Nothing waits for more to come after a pause; where nothing waits nothing is due."""
    pacing = Pacing(64)
    assert pacing.due(1) == -inf
    assert pacing.due(0) == inf


def test_a_slice_waits_for_nothing() -> None:
    """However recently copies were counted."""
    pacing = Pacing(64)
    pacing.counted(100.0, 100.2)
    assert pacing.due(63) > 100.0
    assert pacing.due(64) == -inf


@given(begun=st.floats(0, 1e6), seconds=st.floats(0, 1))
def test_what_is_counted_fast_is_counted_often(begun: float, seconds: float) -> None:
    """Counting takes half of the time at most, as long as nobody has to wait for that longer than may be."""
    pacing = Pacing(64)
    pacing.counted(begun, begun + seconds)
    pause = pacing.due(1) - begun
    assert pause <= MOST_SECONDS + 1e-9
    assert abs(pause - REST * seconds) < 1e-6 or pause >= MOST_SECONDS - 1e-6
