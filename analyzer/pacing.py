"""When copies of packets are counted: at once after a pause, under an attack as often as the loop can afford."""

from __future__ import annotations

MOST_SECONDS = 0.03
"""Copies wait at most so long to be counted together: fast attackers are to be cut off within a tenth of a second."""
REST = 2.0
"""They wait no longer than so many times what counting them takes: half of the loop's time is left to other work."""


class Pacing:
    """Times are seconds of a clock that never goes back.

    Args:
        full: so many copies are counted at once.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._next = float("-inf")

    def due(self, waiting: int) -> float:
        """When so many copies that wait are to be counted; infinite: there are none."""
        if not waiting:
            return float("inf")
        return float("-inf") if waiting >= self._full else self._next

    def counted(self, begun: float, ended: float) -> None:
        """Copies were counted from one time to another."""
        self._next = begun + min(MOST_SECONDS, REST * (ended - begun))
