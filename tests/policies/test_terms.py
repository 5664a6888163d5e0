"""Schedules and expiry: when a rule is in force, and when that may change."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.terms import DAYS, Schedule, Terms, moment

BERLIN = ZoneInfo("Europe/Berlin")
WORKDAYS = frozenset(range(5))
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def schedules() -> st.SearchStrategy[Schedule]:
    hours = st.times().map(lambda hour: hour.replace(second=0, microsecond=0))
    days = st.frozensets(st.integers(0, 6), min_size=1)
    return st.builds(Schedule, days, hours, hours, st.sampled_from(ZONES).map(ZoneInfo))


@pytest.mark.parametrize(
    ("when", "active"),
    [
        ("2027-01-15T07:59:59+01:00", False),
        ("2027-01-15T08:00:00+01:00", True),
        ("2027-01-15T17:59:59+01:00", True),
        ("2027-01-15T18:00:00+01:00", False),
        ("2027-01-16T12:00:00+01:00", False),
        ("2027-07-15T08:00:00+02:00", True),
        ("2027-07-15T07:59:59+02:00", False),
    ],
)
def test_hours_are_those_of_the_zone(when: str, active: bool) -> None:
    """Working hours in Berlin, in winter and in summer; the fifteenth of January 2027 is a Friday."""
    assert Schedule(WORKDAYS, time(8), time(18), BERLIN).active(at(when)) is active


def test_a_span_may_go_over_midnight() -> None:
    """It belongs to the day on which it begins."""
    night = Schedule(frozenset({4}), time(22), time(6), ZoneInfo("UTC"))
    for when, active in (("2027-01-15T23:00Z", True), ("2027-01-16T05:59Z", True), ("2027-01-15T05:00Z", False)):
        assert night.active(at(when)) is active, when


def test_a_whole_day_is_one() -> None:
    """Without hours a span goes from midnight to midnight, also where a day has 23 hours."""
    sunday = Schedule(frozenset({6}), time(0), time(0), BERLIN)
    first, last = at("2027-03-28T00:00+01:00"), at("2027-03-29T00:00+02:00")
    assert last - first == 23 * 3600
    assert [sunday.active(when) for when in (first - 1, first, last - 1, last)] == [False, True, True, False]
    assert str(sunday) == "sun Europe/Berlin"
    assert str(Schedule(WORKDAYS, time(8), time(18), BERLIN)) == "mon tue wed thu fri 08:00-18:00 Europe/Berlin"


@given(schedules(), st.integers(1_750_000_000, 1_900_000_000))
def test_nothing_changes_before_the_next_change(schedule: Schedule, now: int) -> None:
    """Between a moment and the next change that is told, a schedule is what it was; a week has at most one of each."""
    change = schedule.next_change(now)
    assert now < change <= now + 8 * 86400
    before = schedule.active(now)
    for share in (0.25, 0.5, 0.75):
        assert schedule.active(now + share * (change - now)) is before
    assert schedule.active(change - 1e-3) is before


@given(schedules(), st.integers(1_750_000_000, 1_900_000_000))
def test_a_moment_is_active_by_the_local_clock(schedule: Schedule, now: int) -> None:
    """As a person says it who reads the clock and the calendar there."""
    local = datetime.fromtimestamp(now, schedule.zone)
    hour = local.time()
    today = local.weekday() in schedule.days
    yesterday = (local.weekday() - 1) % len(DAYS) in schedule.days
    if schedule.begins < schedule.ends:
        expected = today and schedule.begins <= hour < schedule.ends
    else:
        expected = (today and hour >= schedule.begins) or (yesterday and hour < schedule.ends)
    assert schedule.active(now) is expected


@pytest.mark.parametrize(
    ("begins", "ends", "day", "spans"),
    [
        # From 2:00 the clock goes on at 3:00.
        (time(2, 15), time(2, 45), "2027-03-28", []),
        (time(2, 45), time(3, 15), "2027-03-28", [("01:00", "01:15")]),
        (time(1, 30), time(2, 30), "2027-03-28", [("00:30", "01:00")]),
        # From 3:00 it goes back to 2:00.
        (time(2, 30), time(3), "2027-10-31", [("00:30", "01:00"), ("01:30", "02:00")]),
        (time(1), time(2, 30), "2027-10-31", [("2027-10-30T23:00", "00:30"), ("01:00", "01:30")]),
    ],
)
def test_where_the_clock_is_put_forward_or_back_it_decides_all_the_same(
    begins: time, ends: time, day: str, spans: list[tuple[str, str]]
) -> None:
    """Berlin's in 2027; an engine that wakes at each change that is told sees just these spans (UTC)."""
    schedule = Schedule(frozenset(range(7)), begins, ends, BERLIN)
    now = at(f"{day}T00:00+00:00") - 2 * 3600
    found: list[tuple[float, float]] = []
    since: float | None = None
    while now < at(f"{day}T04:00+00:00"):
        if schedule.active(now) is not (since is not None):
            if since is not None:
                found.append((since, now))
            since = now if since is None else None
        now = schedule.next_change(now)
    assert [time for span in found for time in span] == [
        at(f"{word if 'T' in word else f'{day}T{word}'}+00:00") for span in spans for word in span
    ]


def test_a_rule_ends_when_its_time_is_over() -> None:
    """Whatever its schedule says; then nothing will change any more."""
    end = at("2027-01-15T12:00Z")
    terms = Terms(expires=end, schedule=Schedule(WORKDAYS, time(8), time(18), ZoneInfo("UTC")))
    assert (terms.active(end - 1), terms.active(end), terms.expired(end)) == (True, False, True)
    assert (terms.next_change(end - 1), terms.next_change(end)) == (end, None)
    assert Terms(owner="anna").next_change(0.0) is None
    assert moment(end) == "2027-01-15T12:00:00Z"
    assert datetime.fromisoformat(moment(end + 0.5)) == datetime.fromtimestamp(end + 0.5, UTC)
