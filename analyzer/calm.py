"""Whether somebody whom a lesser step holds has come to rest: a function of when it was last found misbehaving."""

from __future__ import annotations

from analyzer.advisor import Subject


class Calm:
    """Subjects under a step short of isolation, and when they were last disturbing.

    An isolated VM shows nothing any more, so nothing can be said of it.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds`: so long without a finding is calm."""
        self._seconds = seconds
        self._since: dict[Subject, float] = {}
        self._told: set[Subject] = set()

    def hold(self, subjects: set[Subject], now: float) -> None:
        """These are under such a step now (epoch seconds); those who were not begin their wait."""
        self._since = {subject: self._since.get(subject, now) for subject in subjects}
        self._told &= subjects

    def disturbed(self, subject: Subject, now: float) -> None:
        """Something was found in it; its wait begins anew."""
        if subject in self._since:
            self._since[subject] = max(now, self._since[subject])
            self._told.discard(subject)

    def ended(self, now: float) -> list[tuple[Subject, float]]:
        """Who has come to rest since the last call, each with the time of what was last found."""
        rested = [
            (subject, since)
            for subject, since in self._since.items()
            if now - since >= self._seconds and subject not in self._told
        ]
        self._told.update(subject for subject, _ in rested)
        return rested
