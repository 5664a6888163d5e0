"""Keeping one VFN at its desired entries: a state machine of values, without time, sockets or bytes of its own.

A cycle is read -> difference -> one atomic bundle -> read again; it ends when nothing differs. At most one read or
bundle is under way for a VFN. Urgent sends of drops go past the cycle, which then makes them part of the whole.

Failure modes: the bundle is refused (the old entries stay whole; tried again with backoff), no answer comes (the same),
the VFN goes (everything under way is forgotten; it begins anew), entries are lost or altered or strange ones appear
(repaired in the next cycle and told as drift).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from policies.codec import InstalledEntry
from policies.entries import OWNER, OWNER_SHIFT, TableEntry
from policies.lifecycle import backoff

Desired = Mapping[int, TableEntry]
"""Entries by cookie."""
Differences = Callable[[Desired, Sequence[InstalledEntry]], tuple[Sequence[TableEntry], Sequence[InstalledEntry]]]

ANSWER_SECONDS = 15.0
"""A request that is not answered by then has failed."""
MAX_ROUNDS = 3
"""So many bundles in a row are tried before somebody who undoes them is given a rest."""
REFUSED = "the switch refused the entries"


class Phase(StrEnum):
    """What a VFN waits for."""

    AWAY = "away"
    """It is not connected."""
    IDLE = "idle"
    READING = "reading"
    APPLYING = "applying"


@dataclass(frozen=True)
class VfnState:
    """One VFN."""

    interval: float
    """Seconds between two read-backs when all is right."""
    phase: Phase = Phase.AWAY
    desired: Desired = field(default_factory=dict)
    rules: frozenset[str] = frozenset()
    """Ids of the segmentation rules in `desired`."""
    confirmed: Desired | None = None
    """Entries that were last read back without a difference; None: not since it connected."""
    confirmed_rules: frozenset[str] | None = None
    """Rules of `confirmed`; kept while the VFN is away, since it goes on enforcing them."""
    settled: bool = False
    """Has `desired` been read back since it last changed?"""
    sent: frozenset[int] = frozenset()
    """Cookies that may have been sent since the VFN was last settled."""
    request: int = 0
    """The request under way."""
    read: tuple[InstalledEntry, ...] = ()
    """Parts of the reading under way."""
    counted: bool = False
    """Has the present difference been looked at for drift already?"""
    rounds: int = 0
    """Bundles taken since `desired` changed or was last there whole."""
    failures: int = 0
    due: float | None = None
    """When to act next without an event: the next reading, or the end of patience with a request."""
    enforced_ratio: float = 0.0
    """Part of the desired entries that was there at the last reading."""

    @property
    def in_sync(self) -> bool:
        """Is it connected, and was everything desired there and nothing else at the last reading?"""
        return self.phase is not Phase.AWAY and self.settled


@dataclass(frozen=True)
class Up:
    """The VFN has connected; `Wanted` follows, as its ports may be others now."""


@dataclass(frozen=True)
class Down:
    """The VFN is gone."""


@dataclass(frozen=True)
class Wanted:
    """What it must hold has (perhaps) changed."""

    entries: Desired
    rules: frozenset[str]


@dataclass(frozen=True)
class Installed:
    """A part of a reading."""

    request: int
    entries: Sequence[InstalledEntry]
    last: bool


@dataclass(frozen=True)
class Applied:
    """The barrier after a bundle has come back."""

    request: int
    seconds: float
    errors: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Timer:
    """Time has passed."""


Event = Up | Down | Wanted | Installed | Applied | Timer


@dataclass(frozen=True)
class Read:
    """Ask for all entries."""

    request: int


@dataclass(frozen=True)
class Apply:
    """Send this difference as one atomic bundle."""

    request: int
    add: Sequence[TableEntry]
    delete: Sequence[InstalledEntry]


@dataclass(frozen=True)
class Done:
    """A bundle was taken."""

    seconds: float


@dataclass(frozen=True)
class Synced:
    """Everything is there, for the first time since it changed."""


@dataclass(frozen=True)
class Drift:
    """The VFN does not hold what it held: somebody else wrote to it, or it lost something."""

    lost: Sequence[TableEntry]
    """Missing or altered."""
    strange: Sequence[InstalledEntry]


@dataclass(frozen=True)
class Failed:
    """A bundle was refused or did not last, or an answer did not come."""

    reason: str
    errors: Sequence[Mapping[str, Any]]
    next_try: float


Command = Read | Apply | Done | Synced | Drift | Failed


def step(state: VfnState, event: Event, now: float, differences: Differences) -> tuple[VfnState, tuple[Command, ...]]:
    """The next state of a VFN and what is to be done.

    Args:
        now: seconds of a clock that never goes back.
        differences: `policies.codec.SwitchCodec.differences`.
    """
    match event:
        case Up():
            return replace(_away(state), phase=Phase.IDLE, failures=0, due=now), ()
        case Down():
            return _away(state), ()
        case Wanted(entries, rules):
            return _wanted(state, entries, rules, now)
        case Installed() if state.phase is Phase.READING and event.request == state.request:
            return _installed(state, event, now, differences)
        case Applied() if state.phase is Phase.APPLYING and event.request == state.request:
            return _applied(state, event, now)
        case Timer() if state.due is not None and now >= state.due:
            return _overdue(state, now)
    return state, ()


def _wanted(
    state: VfnState, entries: Desired, rules: frozenset[str], now: float
) -> tuple[VfnState, tuple[Command, ...]]:
    if entries == state.desired and rules == state.rules and state.settled:
        return state, ()
    changed = replace(state, desired=entries, rules=rules, settled=False, sent=state.sent | entries.keys())
    if entries != state.desired:
        changed = replace(changed, failures=0, rounds=0)
    # What failed waits for its next try, unless it is something else now.
    return _start_reading(changed, now) if changed.phase is Phase.IDLE and not changed.failures else (changed, ())


def _away(state: VfnState) -> VfnState:
    """Nothing is known of what it holds; answers to earlier requests will not be taken for new ones."""
    kept = replace(state, phase=Phase.AWAY, request=state.request + 1, confirmed=None, settled=False, due=None)
    return replace(kept, read=(), counted=False, rounds=0, sent=frozenset(state.desired))


def _start_reading(state: VfnState, now: float) -> tuple[VfnState, tuple[Command, ...]]:
    request = state.request + 1
    reading = replace(state, phase=Phase.READING, request=request, read=(), due=now + ANSWER_SECONDS)
    return reading, (Read(request),)


def _installed(
    state: VfnState, event: Installed, now: float, differences: Differences
) -> tuple[VfnState, tuple[Command, ...]]:
    read = (*state.read, *event.entries)
    if not event.last:
        return replace(state, read=read, due=now + ANSWER_SECONDS), ()
    add, delete = differences(state.desired, read)
    present = 1.0 - len(add) / len(state.desired) if state.desired else 1.0
    state = replace(state, read=(), enforced_ratio=present)
    if not add and not delete:
        news: tuple[Command, ...] = () if state.settled else (Synced(),)
        idle = replace(state, phase=Phase.IDLE, failures=0, rounds=0, due=now + state.interval, counted=False)
        whole = replace(idle, confirmed=state.desired, confirmed_rules=state.rules, settled=True)
        return replace(whole, sent=frozenset(state.desired)), news
    drift = () if state.counted else _drift(state, add, delete)
    request = state.request + 1
    applying = replace(state, phase=Phase.APPLYING, request=request, counted=True, due=now + ANSWER_SECONDS)
    return applying, (*drift, Apply(request, add, delete))


def _drift(state: VfnState, add: Sequence[TableEntry], delete: Sequence[InstalledEntry]) -> tuple[Drift, ...]:
    """The part of a difference that no change of what is desired explains."""
    if state.confirmed is None:
        strange = [entry for entry in delete if not _ours(entry)]
        return (Drift((), strange),) if strange else ()
    known = state.sent | state.confirmed.keys()
    missing = set(add)
    lost = [entry for cookie, entry in state.desired.items() if cookie in state.confirmed and entry in missing]
    strange = [entry for entry in delete if entry.cookie not in known]
    return (Drift(lost, strange),) if lost or strange else ()


def _ours(entry: InstalledEntry) -> bool:
    return entry.cookie >> OWNER_SHIFT == OWNER


def _applied(state: VfnState, event: Applied, now: float) -> tuple[VfnState, tuple[Command, ...]]:
    if event.errors:
        return _failed(state, REFUSED, event.errors, now)
    if state.rounds >= MAX_ROUNDS:
        return _failed(state, f"after {MAX_ROUNDS} bundles the entries are still not there", (), now)
    reading, commands = _start_reading(replace(state, rounds=state.rounds + 1), now)
    return reading, (Done(event.seconds), *commands)


def _overdue(state: VfnState, now: float) -> tuple[VfnState, tuple[Command, ...]]:
    if state.phase is Phase.IDLE:
        return _start_reading(state, now)
    return _failed(state, f"no answer within {ANSWER_SECONDS:.0f} s", (), now)


def _failed(
    state: VfnState, reason: str, errors: Sequence[Mapping[str, Any]], now: float
) -> tuple[VfnState, tuple[Command, ...]]:
    failures = state.failures + 1
    due = now + backoff(failures)
    waiting = replace(state, phase=Phase.IDLE, failures=failures, rounds=0, due=due, read=())
    return waiting, (Failed(reason, errors, due),)
