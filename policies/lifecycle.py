"""The life of a rule: its record, which state may follow which, and when it ends by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from policies.rules import RuleState, SegmentationRule
from runtime.errors import PolicyError

_FOLLOWING: Mapping[RuleState, frozenset[RuleState]] = {
    RuleState.INSTALLING: frozenset(
        {RuleState.ENFORCED, RuleState.FAILED, RuleState.RELEASED, RuleState.EXPIRED, RuleState.INSTALLING}
    ),
    RuleState.ENFORCED: frozenset({RuleState.RELEASED, RuleState.EXPIRED}),
    RuleState.FAILED: frozenset({RuleState.INSTALLING, RuleState.RELEASED, RuleState.EXPIRED}),
    RuleState.RELEASED: frozenset(),
    RuleState.EXPIRED: frozenset(),
    RuleState.REFUSED: frozenset(),
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
    """Why it is refused, failed or released."""
    installed_at: float | None = None
    """A switch first confirmed its entries by a barrier."""
    enforced_at: float | None = None
    """Read back from every VFN."""
    ended_at: float | None = None
    """Released, expired or refused."""
    removed_at: float | None = None
    """After its end: read back from every VFN that its entries are gone."""
    attempts: int = 0
    """How often installing it has failed."""
    retry_at: float | None = None
    """When a failed rule is tried again."""

    @property
    def leaving(self) -> bool:
        """Has it ended, but not yet been seen to be gone from the switches?"""
        return self.state in (RuleState.RELEASED, RuleState.EXPIRED) and self.removed_at is None

    @property
    def over(self) -> bool:
        """Has it ended for good?"""
        return not _FOLLOWING[self.state]


def move(record: RuleRecord, state: RuleState, now: float, detail: str = "") -> RuleRecord:
    """The record in its next state.

    Raises:
        PolicyError: that state cannot follow.
    """
    if state not in _FOLLOWING[record.state]:
        remedy = "look at the rule's state first"
        raise PolicyError(f"rule {record.rule.id} is {record.state}, it cannot become {state}", remedy=remedy)
    changed = replace(record, state=state, changed_at=now, detail=detail, retry_at=None)
    if state is RuleState.ENFORCED:
        return replace(changed, enforced_at=now, attempts=0)
    if state in (RuleState.RELEASED, RuleState.EXPIRED):
        return replace(changed, ended_at=now)
    if state is RuleState.FAILED:
        attempts = record.attempts + 1
        return replace(changed, attempts=attempts, retry_at=now + backoff(attempts))
    return changed


def backoff(attempts: int) -> float:
    """Seconds until the next try after so many failures."""
    return float(min(RETRY_SECONDS_MAX, RETRY_SECONDS * 2 ** min(attempts - 1, 16)))


def expired(records: Iterable[RuleRecord], now: float) -> list[RuleRecord]:
    """Those that have come to the end of their time."""
    return [r for r in records if not r.over and r.rule.expires is not None and r.rule.expires <= now]


def due(records: Iterable[RuleRecord], now: float) -> list[RuleRecord]:
    """Failed ones whose next try has come."""
    return [r for r in records if r.state is RuleState.FAILED and r.retry_at is not None and r.retry_at <= now]


def next_time(records: Iterable[RuleRecord]) -> float | None:
    """When `expired` or `due` will next have something to say."""
    times = [time for r in records if not r.over for time in (r.rule.expires, r.retry_at) if time is not None]
    return min(times, default=None)
