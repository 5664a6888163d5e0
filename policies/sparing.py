"""When the whole of a VFN is compiled: not while isolations come one upon the other, whose drops are sent ahead of it.

Compiling takes as much processor time as many isolations do. Of a burst of them each would have every VFN compiled
anew, and the next one wait for that; so they are taken together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sparing:
    """How long compiling may be put off."""

    quiet_seconds: float
    """Since the last of isolations that followed each other closer than this; 0: never put off."""
    most_seconds: float
    """Then all VFNs that are behind get their turn."""
    telling_seconds: float = 0.0
    """At least, from one time that the analyzer is told all rules in force to the next."""


NEVER = Sparing(0.0, 0.0)


class Putting:
    """Whether compiling waits. Times are seconds of a clock that never goes back."""

    def __init__(self, sparing: Sparing) -> None:
        self._sparing = sparing
        self._last = float("-inf")
        self._since = float("-inf")
        self._until = float("-inf")
        self._due = 0

    def urgent(self, now: float) -> None:
        """Something was sent ahead of everything."""
        if now - self._last < self._sparing.quiet_seconds:
            self._until = min(now + self._sparing.quiet_seconds, self._since + self._sparing.most_seconds)
        else:
            self._since = now
        self._last = now

    def waits(self, now: float, behind: int) -> bool:
        """Is a VFN, one of so many that are behind, to be compiled later? Else it is counted as compiled."""
        self._due = min(self._due, behind)
        if self._due == 0:
            if now < self._until:
                return True
            self._due = behind
        self._due -= 1
        if self._due == 0:
            self._since = now
        return False

    def seconds(self, now: float) -> float:
        """Until a VFN that is behind may be compiled."""
        return 0.0 if self._due else max(0.0, self._until - now)
