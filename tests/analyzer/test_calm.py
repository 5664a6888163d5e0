"""Who is held by a lesser step and has come to rest is told, once."""

from analyzer.calm import Calm


def test_rest_is_told_once() -> None:
    """So long after the last finding, and not again until something new is found."""
    calm = Calm(60.0)
    calm.hold({1, 2}, 100.0)
    calm.disturbed(1, 130.0)
    assert calm.ended(159.0) == []
    assert calm.ended(160.0) == [(2, 100.0)]
    assert calm.ended(190.0) == [(1, 130.0)]
    assert calm.ended(500.0) == []
    calm.disturbed(1, 500.0)
    assert calm.ended(560.0) == [(1, 500.0)]


def test_only_who_is_held_can_come_to_rest() -> None:
    """Findings in others are of no account; who is let go and held again waits anew."""
    calm = Calm(60.0)
    calm.disturbed(3, 10.0)
    assert calm.ended(1000.0) == []
    calm.hold({3}, 1000.0)
    calm.hold(set(), 1010.0)
    calm.hold({3}, 1050.0)
    assert calm.ended(1100.0) == []
    assert calm.ended(1110.0) == [(3, 1050.0)]


def test_a_late_finding_does_not_shorten_the_wait() -> None:
    """Findings told out of order leave the latest."""
    calm = Calm(60.0)
    calm.hold({1}, 100.0)
    calm.disturbed(1, 120.0)
    calm.disturbed(1, 90.0)
    assert calm.ended(170.0) == []
