"""Compiling waits for a burst of isolations to be over, and never for long."""

import itertools

from policies.sparing import NEVER, Putting, Sparing

SPARING = Sparing(0.03, 1.0)


def test_one_isolation_puts_nothing_off() -> None:
    """Nor do those that come one after the other with time between."""
    putting = Putting(SPARING)
    for now in (0.0, 0.05, 0.1):
        putting.urgent(now)
        assert not putting.waits(now, 1)
        assert putting.seconds(now) == 0.0


def test_a_burst_is_taken_together() -> None:
    """While one comes upon the other it waits, until there was a pause."""
    putting = Putting(SPARING)
    for number in range(10):
        putting.urgent(number * 0.01)
    assert putting.waits(0.1, 3)
    assert abs(putting.seconds(0.1) - 0.02) < 1e-9
    assert [putting.waits(0.121, behind) for behind in (3, 2, 1)] == [False] * 3


def test_a_burst_without_end_has_everyone_compiled_once_a_while() -> None:
    """After the longest wait every VFN that is behind gets its turn, then it waits again."""
    putting, compiled, behind = Putting(SPARING), [], 0
    for tick in range(500):
        now = tick * 0.01
        putting.urgent(now)
        behind = behind or 4
        if not putting.waits(now, behind):
            compiled.append(now)
            behind -= 1
    rounds = [now for number, now in enumerate(compiled) if number % 4 == 0]
    assert 3 <= len(rounds) <= 5
    assert all(0.9 < later - earlier < 1.2 for earlier, later in itertools.pairwise(rounds))


def test_who_is_asked_late_has_its_turn_all_the_same() -> None:
    """Isolations that come after the longest wait do not begin another one before there was a turn."""
    putting = Putting(SPARING)
    for number in range(150):
        putting.urgent(number * 0.01)
    assert [putting.waits(1.495, behind) for behind in (2, 1)] == [False] * 2
    putting.urgent(1.5)
    assert putting.waits(1.5, 2)


def test_without_it_nothing_waits() -> None:
    """However close they come."""
    putting = Putting(NEVER)
    for number in range(5):
        putting.urgent(number * 1e-4)
        assert not putting.waits(number * 1e-4, 1)
