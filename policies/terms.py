"""What is said of a rule beside what it does: whose it is, why, until when, and at which hours.

A schedule is of local time somewhere, so its hours move with daylight saving there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runtime.errors import WrongValueError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = time(0)
_AHEAD = 9
"""Days among which the next span of any schedule begins: a week, and one more at either end."""


@dataclass(frozen=True)
class Schedule:
    """Spans of time that come again every week. One that ends before it begins goes on into the next day.

    The clock of the zone decides: an hour that it skips is in no span, one that it shows twice is so both times.
    """

    days: frozenset[int]
    """On which it begins; 0: Monday."""
    begins: time
    ends: time
    """Exclusive; the same as `begins`: a whole day."""
    zone: ZoneInfo

    def active(self, now: float) -> bool:
        """Is a moment (epoch seconds) within a span?"""
        local = datetime.fromtimestamp(now, self.zone)
        hour = local.time()
        begun_today = local.weekday() in self.days and hour >= self.begins
        if self.begins < self.ends:
            return begun_today and hour < self.ends
        return begun_today or ((local - timedelta(days=1)).weekday() in self.days and hour < self.ends)

    def next_change(self, now: float) -> float:
        """The next moment at which `active` may become another."""
        return min(edge for edge in self._edges(now) if edge > now)

    def _edges(self, now: float) -> Iterator[float]:
        """Moments around one when the clock shows the begin or end of a span, or is put forward or back."""
        today = datetime.fromtimestamp(now, self.zone).date()
        for offset in range(-2, _AHEAD):
            day = today + timedelta(days=offset)
            if day.weekday() in self.days:
                for at, hour in ((day, self.begins), (day + timedelta(days=self.ends <= self.begins), self.ends)):
                    local = datetime.combine(at, hour, self.zone)
                    yield from (local.timestamp(), local.replace(fold=1).timestamp())
            yield from self._turn(day)

    def _turn(self, day: date) -> Iterator[float]:
        """When the clock is put forward or back on a day, if it is."""
        first, last = (int(datetime.combine(day + timedelta(days=n), _MIDNIGHT, self.zone).timestamp()) for n in (0, 1))
        before = self._ahead(first)
        if before == self._ahead(last):
            return
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if self._ahead(middle) == before else (first, middle)
        yield float(last)

    def _ahead(self, moment: float) -> timedelta | None:
        """Of UTC."""
        return datetime.fromtimestamp(moment, self.zone).utcoffset()

    def __str__(self) -> str:
        """In words: `mon tue 08:00-18:00 Europe/Berlin`."""
        days = " ".join(DAYS[day] for day in sorted(self.days)) if len(self.days) < len(DAYS) else "daily"
        whole = self.begins == self.ends == _MIDNIGHT
        hours = "" if whole else f" {self.begins:%H:%M}-{self.ends:%H:%M}"
        return f"{days}{hours} {self.zone.key}"


@dataclass(frozen=True)
class Terms:
    """Of one rule."""

    owner: str | None = None
    comment: str | None = None
    expires: float | None = None
    """Epoch seconds; None: never."""
    schedule: Schedule | None = None
    """None: always."""

    @property
    def timed(self) -> bool:
        """Does it depend on the time whether the rule is in force?"""
        return self.expires is not None or self.schedule is not None

    def expired(self, now: float) -> bool:
        """Is its time over for good?"""
        return self.expires is not None and self.expires <= now

    def active(self, now: float) -> bool:
        """Is the rule in force at a moment?"""
        return not self.expired(now) and (self.schedule is None or self.schedule.active(now))

    def next_change(self, now: float) -> float | None:
        """The next moment at which `active` may become another; None: never again."""
        if not self.timed or self.expired(now):
            return None
        times = [] if self.expires is None else [self.expires]
        times += [] if self.schedule is None else [self.schedule.next_change(now)]
        return min(times)


def epoch_seconds(text: str) -> float:
    """Of an ISO 8601 time that says its zone; the reverse of `moment`.

    Raises:
        ValueError: it is no time, or says no zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise WrongValueError(f"{text!r} is no time", "write one such as 2027-01-15T08:00:00Z") from None
    if found.tzinfo is None:
        raise WrongValueError(
            f"{text!r} does not say its time zone", f"write {text}Z, or with an offset such as +02:00"
        )
    return found.timestamp()


def moment(epoch: float) -> str:
    """A time as a policy writes it: `2027-01-15T08:00:00Z`."""
    return datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
