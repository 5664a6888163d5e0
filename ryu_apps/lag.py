"""How late the hub is: the longest time within the last minute that a ready greenthread had to wait."""

from __future__ import annotations

import time
from collections import deque

from ryu.lib import hub

PROBE_SECONDS = 0.02
WINDOW_SECONDS = 60.0


class LagMeter:
    """Sleeps a little, again and again, and remembers how much longer it took than asked."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[float, float]] = deque()
        """(second, longest lag within it), oldest first."""

    def run(self) -> None:
        """Measure for ever."""
        while True:
            asked = time.monotonic()
            hub.sleep(PROBE_SECONDS)
            now = time.monotonic()
            self.note(now, now - asked - PROBE_SECONDS)

    def note(self, now: float, lag: float) -> None:
        """Remember a measurement, in seconds of the monotonic clock."""
        second = float(int(now))
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, max(self._seconds[-1][1], lag))
        else:
            self._seconds.append((second, lag))
        while self._seconds[0][0] < second - WINDOW_SECONDS:
            self._seconds.popleft()

    def longest(self) -> float:
        """Longest lag of the last minute, in seconds."""
        return max((lag for _, lag in self._seconds), default=0.0)
