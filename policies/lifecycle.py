"""The life of a rule: its record, which state may follow which, and when it goes on by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from policies.rules import RuleState, SegmentationRule
from runtime.errors import PolicyError

OVER = frozenset({RuleState.RELEASED, RuleState.ROLLED_BACK, RuleState.EXPIRED, RuleState.REFUSED})
"""Nothing follows these states."""
_ENDS = frozenset({RuleState.EXPIRING, RuleState.PROBATION, RuleState.RELEASED, RuleState.ROLLED_BACK})
"""What may follow on a rule that was sent to the switches."""
_FOLLOWING: Mapping[RuleState, frozenset[RuleState]] = {
    RuleState.PROPOSED: frozenset({RuleState.APPROVED, RuleState.REFUSED, RuleState.RELEASED, RuleState.EXPIRED}),
    RuleState.APPROVED: frozenset({RuleState.INSTALLING}),
    RuleState.INSTALLING: _ENDS | {RuleState.ENFORCED, RuleState.FAILED},
    RuleState.ENFORCED: _ENDS,
    RuleState.FAILED: _ENDS | {RuleState.INSTALLING, RuleState.PROPOSED},
    RuleState.EXPIRING: frozenset({RuleState.PROBATION, RuleState.EXPIRED}),
    RuleState.PROBATION: frozenset({RuleState.RELEASED, RuleState.EXPIRED}),
    **dict.fromkeys(OVER, frozenset()),
}
RETRY_SECONDS = 2.0
RETRY_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class RuleRecord:
    """A rule and where it is in its life. Times are epoch seconds."""

    rule: SegmentationRule
    state: RuleState
    changed_at: float
    """When it came into this state."""
    vfns: tuple[str, ...] = ()
    """Names of the VFNs that it concerns."""
    detail: str = ""
    """Why it waits, is refused, failed or released."""
    installed_at: float | None = None
    """A switch first confirmed its entries by a barrier."""
    enforced_at: float | None = None
    """Read back from every VFN."""
    ended_at: float | None = None
    """Out of force: expiring, on probation, released, rolled back, expired or refused."""
    removed_at: float | None = None
    """After its end: read back from every VFN that its entries are gone."""
    attempts: int = 0
    """How often installing it has failed."""
    retry_at: float | None = None
    """When a failed rule is tried again."""
    until: float | None = None
    """When waiting for approval, or probation, is over."""
    becomes: RuleState | None = None
    """What follows on probation."""
    by: str | None = None
    """Who approved or rejected it."""
    supersedes: tuple[str, ...] = ()
    """Ids of lesser rules that end when this one is enforced."""
    offence: int = 0
    """The how-manieth of its VM or address it answers; 0: it answers none."""

    @property
    def leaving(self) -> bool:
        """Has it ended, but not yet been seen to be gone from the switches?"""
        return self.ended_at is not None and self.state is not RuleState.REFUSED and self.removed_at is None

    @property
    def over(self) -> bool:
        """Has it ended for good?"""
        return self.state in OVER

    @property
    def standing(self) -> bool:
        """Is it in force, or does it try to be?"""
        return self.state.live or self.state is RuleState.FAILED


def move(record: RuleRecord, state: RuleState, now: float, detail: str = "") -> RuleRecord:
    """The record in its next state.

    Raises:
        PolicyError: that state cannot follow.
    """
    if state not in _FOLLOWING[record.state]:
        remedy = "look at the rule's state first"
        raise PolicyError(f"rule {record.rule.id} is {record.state}, it cannot become {state}", remedy=remedy)
    changed = replace(record, state=state, changed_at=now, detail=detail, retry_at=None, until=None)
    if state is RuleState.ENFORCED:
        return replace(changed, enforced_at=now, attempts=0)
    if state is RuleState.FAILED:
        attempts = record.attempts + 1
        return replace(changed, attempts=attempts, retry_at=now + backoff(attempts))
    if state in OVER or state in (RuleState.EXPIRING, RuleState.PROBATION):
        # What was only proposed has never been in a switch.
        removed_at = now if record.state is RuleState.PROPOSED else record.removed_at
        return replace(changed, ended_at=record.ended_at or now, removed_at=removed_at)
    return changed


def backoff(attempts: int) -> float:
    """Seconds until the next try after so many failures."""
    return float(min(RETRY_SECONDS_MAX, RETRY_SECONDS * 2 ** min(attempts - 1, 16)))


def due_at(record: RuleRecord) -> float | None:
    """When it goes on by itself: its time is over, it is tried again, or waiting or probation ends; None: never."""
    match record.state:
        case RuleState.PROPOSED | RuleState.PROBATION:
            return record.until
        case RuleState.INSTALLING | RuleState.ENFORCED | RuleState.FAILED:
            times = [time for time in (record.rule.expires, record.retry_at) if time is not None]
            return min(times, default=None)
        case _:
            return None


class Deadlines:
    """When which rule is due, told in order without a look at all others."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        """With what is no longer so; `_times` knows better."""

    def set(self, identity: str, time: float | None) -> None:
        """A rule is due at a time, which replaces the one before; None: never."""
        if time is None:
            self._times.pop(identity, None)
        elif self._times.get(identity) != time:
            self._times[identity] = time
            heappush(self._heap, (time, identity))

    def next_time(self) -> float | None:
        """When the next rule is due; None: none ever is."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> list[str]:
        """Ids of the rules that are due, the earliest first. They are due no more until set again."""
        found = []
        while (time := self.next_time()) is not None and time <= now:
            found.append(heappop(self._heap)[1])
            del self._times[found[-1]]
        return found
