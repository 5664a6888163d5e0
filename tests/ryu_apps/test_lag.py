"""The hub's lag."""

from __future__ import annotations

from ryu_apps.lag import LagMeter


def test_the_longest_lag_of_the_last_minute_counts() -> None:
    """An old hiccup is forgotten after a minute, and not before."""
    meter = LagMeter()
    meter.note(100.0, 0.5)
    meter.note(100.4, 0.1)
    meter.note(130.0, 0.2)
    assert meter.longest() == 0.5
    meter.note(161.5, 0.01)
    assert meter.longest() == 0.2


def test_without_a_measurement_there_is_no_lag() -> None:
    """A control that has just started says 0."""
    assert LagMeter().longest() == 0.0
