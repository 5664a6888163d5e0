"""Keeping one VFN at its goal: a state machine of values, without time, sockets or bytes of its own.

On connect: read everything -> difference -> one atomic bundle -> read everything again, until nothing differs. From
then on what it holds is known, and a change of the goal is sent at once, as the difference of the two goals, in one
bundle; what has changed is read back. Whatever casts doubt on what is known (somebody else's change, a failure, another
number of entries than there should be) leads to reading everything again. At most one request is under way for a VFN.

The order of adds and deletes within a bundle is of no account to packets: Open vSwitch publishes all of it as one
version of its tables, so every packet meets the old policy whole or the new one. Deletes stand first, to make room.

Drops that are sent ahead of a cycle (`Ahead`) go past all this; the next bundle makes them part of the whole.

Failure modes: the bundle is refused (the old entries stay whole; tried again with backoff), no answer comes (the same),
the VFN goes (everything under way is forgotten; it begins anew), entries are lost or altered or strange ones appear
(repaired and told as drift).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Any

from policies.codec import InstalledEntry
from policies.entries import OWNER, OWNER_SHIFT, TableEntry
from policies.lifecycle import backoff
from policies.vfnstate import (
    Again,
    Ahead,
    Applied,
    Apply,
    Change,
    Command,
    Count,
    Counted,
    Done,
    Down,
    Drift,
    DropMeters,
    Event,
    Failed,
    Goal,
    Installed,
    Measured,
    Phase,
    Read,
    Synced,
    Timer,
    Touched,
    Unwatched,
    Up,
    VfnState,
    Wanted,
)

Differences = Callable[
    [Mapping[int, TableEntry], Sequence[InstalledEntry]], tuple[Mapping[int, TableEntry], Sequence[InstalledEntry]]
]

ANSWER_SECONDS = 15.0
"""A request that is not answered by then has failed."""
MAX_ROUNDS = 3
"""So many bundles in a row are tried before somebody who undoes them is given a rest."""
FEW = 32
"""So many changed entries are read back one by one, by cookie; more, by reading everything."""
FEW_OF = 32
"""Of a VFN that holds many entries so small a part counts as few, too: one in this many."""
REFUSED = "the switch refused the entries"


_NOTHING: Mapping[int, TableEntry] = MappingProxyType({})

Step = tuple[VfnState, tuple[Command, ...]]
Difference = tuple[Mapping[int, TableEntry], Mapping[int, TableEntry]]
"""Entries added and removed, by cookie."""


def step(state: VfnState, event: Event, now: float, differences: Differences) -> Step:
    """The next state of a VFN and what is to be done.

    Args:
        now: seconds of a clock that never goes back.
        differences: `policies.codec.SwitchCodec.differences`.
    """
    match event:
        case Up():
            # Nothing is done, and nothing read, before `Wanted` says what it must hold with the ports that it has now.
            return replace(_away(state), phase=Phase.IDLE, failures=0, doubted=True), ()
        case Down():
            return _away(state), ()
        case Wanted():
            return _wanted(state, event, now)
        case Ahead(entries, meters):
            hurried = replace(state, ahead={**state.ahead, **entries}, hurried=True, sent=state.sent | entries.keys())
            hurried = replace(hurried, meters={**state.meters, **meters})
            return replace(hurried, unsure=state.unsure or state.phase is Phase.APPLYING), ()
        case Touched():
            return _touched(state, now)
        case Unwatched():
            return replace(state, audit_interval=state.interval, audit_due=now), ()
        case Timer():
            return _overdue(state, now) if state.due is not None and now >= state.due else (state, ())
    return _answered(state, event, now, differences) if event.request == state.request else (state, ())


def _answered(state: VfnState, event: Installed | Counted | Applied, now: float, differences: Differences) -> Step:
    """The answer to the request under way, if it is what is waited for."""
    match state.phase, event:
        case Phase.READING, Installed():
            return _installed(state, event, now, differences)
        case Phase.COUNTING, Counted():
            return _counted(state, event, now)
        case Phase.APPLYING, Applied():
            return _applied(state, event, now)
    return state, ()


def _wanted(state: VfnState, event: Wanted, now: float) -> Step:
    before, goal, difference = state.goal, event.goal, (event.added, event.removed)
    same = not any(difference) and replace(goal, entries=before.entries) == before
    if state.settled and same and not state.ahead:
        return replace(state, hurried=False), ()
    changed = replace(state, goal=goal, settled=False, hurried=False)
    if any(difference):
        changed = replace(changed, failures=0, rounds=0)
    # What failed waits for its next try, unless it is something else now.
    if changed.phase is not Phase.IDLE or changed.failures:
        return changed, ()
    return _go_on(changed, now, difference if state.held is before else None)


def _away(state: VfnState) -> VfnState:
    """Nothing is known of what it holds; answers to earlier requests will not be taken for new ones."""
    kept = replace(state, phase=Phase.AWAY, request=state.request + 1, fresh=False, settled=False, due=None)
    return replace(
        kept,
        change=None,
        ahead={},
        unsure=False,
        hurried=False,
        read=(),
        meters={},
        metered=False,
        judged=False,
        rounds=0,
        measured=None,
    )


def _touched(state: VfnState, now: float) -> Step:
    # Who changes entries all the time, also while they are read, is looked after once a cycle.
    resting = state.phase is not Phase.IDLE or state.doubted
    return (replace(state, doubted=True), ()) if resting else _read_all(state, now)


def _go_on(state: VfnState, now: float, difference: Difference | None = None) -> Step:
    """From what it holds towards its goal.

    Args:
        difference: of the two, where it is known already.
    """
    if not state.fresh or state.doubted or state.held is None:
        return _read_all(state, now)
    goal = state.goal
    added, removed = difference or goal.entries.difference(state.held.entries)
    unknown = _unknown(state, added)
    # If it is asked for no more, it goes; but it stays if the goal is yet to know of it.
    stray, ahead = ({}, unknown) if state.hurried else (unknown, {})
    change = Change(goal, added, {**removed, **stray})
    meters = _missing_meters(state)
    if not (added or change.removed or meters):
        return _confirmed(replace(state, ahead=ahead), goal, now)
    ratio = _present(len(added), goal.size)
    sent = state.sent | added.keys() | change.removed.keys()
    changing = replace(state, change=change, ahead=ahead, sent=sent, enforced_ratio=ratio)
    add = {cookie: entry for cookie, entry in added.items() if cookie not in state.ahead}
    if not (add or change.removed or meters):  # all of it has been sent ahead; the reading shows whether it is there
        return _read_back(changing, now)
    return _apply(changing, now, add, remove=change.removed)


def _present(missing: int, desired: int) -> float:
    return (desired - missing) / desired if desired else 1.0


def _unknown(state: VfnState, added: Mapping[int, TableEntry] = _NOTHING) -> Mapping[int, TableEntry]:
    """What has been sent ahead and is no part of the goal, to which `added` belongs."""
    if not state.ahead:
        return _NOTHING
    rest = state.ahead.keys() - added.keys()
    held = state.goal.entries.holding(rest)
    return {cookie: entry for cookie, entry in state.ahead.items() if cookie in rest and cookie not in held}


def _missing_meters(state: VfnState) -> dict[int, int]:
    return {number: rate for number, rate in state.goal.meters.items() if state.meters.get(number) != rate}


def _apply(
    state: VfnState,
    now: float,
    add: Mapping[int, TableEntry],
    delete: Sequence[InstalledEntry] = (),
    remove: Mapping[int, TableEntry] = _NOTHING,
) -> Step:
    meters = _missing_meters(state)
    request = state.request + 1
    command = Apply(request, add, delete, remove, meters, frozenset(meters.keys() & state.meters.keys()))
    applying = replace(state, phase=Phase.APPLYING, request=request, due=now + ANSWER_SECONDS)
    return replace(applying, meters={**state.meters, **meters}, metered=state.metered or bool(meters)), (command,)


def _read_all(state: VfnState, now: float) -> Step:
    request = state.request + 1
    reading = replace(state, phase=Phase.READING, request=request, due=now + ANSWER_SECONDS)
    # What was sent ahead until now will be in the reading; what others change from now on may not.
    ahead = _unknown(state) if state.hurried else {}
    return replace(reading, change=None, ahead=ahead, read=(), meters={}, doubted=False), (Read(request),)


def _installed(state: VfnState, event: Installed, now: float, differences: Differences) -> Step:
    read, meters = (*state.read, event.entries), {**state.meters, **event.meters}
    state = replace(state, read=read, meters=meters, due=now + ANSWER_SECONDS)
    if not event.last:
        return state, ()
    entries = list(chain.from_iterable(state.read))
    state = replace(state, read=())
    return (
        _change_read(state, entries, now, differences) if state.change else _all_read(state, entries, now, differences)
    )


def _change_read(state: VfnState, entries: Sequence[InstalledEntry], now: float, differences: Differences) -> Step:
    change = state.change
    assert change is not None, "a change is what was read"
    missing, left = differences(change.added, entries)
    if missing or any(entry.cookie not in state.ahead for entry in left):  # somebody has undone it already
        return _read_all(state, now)
    counts = Counter(state.counts)
    counts.update(entry.table for entry in change.added.values())
    counts.subtract(entry.table for entry in change.removed.values())
    return _confirmed(replace(state, counts=+counts), change.goal, now)


def _all_read(state: VfnState, entries: Sequence[InstalledEntry], now: float, differences: Differences) -> Step:
    goal, unknown = state.goal, _unknown(state) if state.hurried else _NOTHING
    if unknown:
        entries = [entry for entry in entries if entry.cookie not in unknown]
    add, delete = differences(goal.entries, entries)
    ratio = _present(len(add), goal.size)
    told: tuple[Command, ...] = () if ratio == state.measured else (Measured(ratio, goal.size),)
    state = replace(state, enforced_ratio=ratio, measured=ratio)
    meters = {} if state.metered else _missing_meters(state)
    if add or delete or meters:
        drift = () if state.judged else _drift(state, add, delete)
        sent = state.sent | {entry.cookie for entry in delete} | (goal.entries.keys() if add else set())
        applying, commands = _apply(replace(state, settled=False, judged=True, sent=sent), now, add, delete)
        return applying, (*told, *drift, *commands)
    unused = sorted(state.meters.keys() - goal.meters.keys())
    dropped = (DropMeters(unused),) if unused else ()
    kept = {number: rate for number, rate in state.meters.items() if number not in unused}
    whole = replace(state, fresh=True, meters=kept, counts=Counter(entry.table for entry in entries))
    settled, commands = _confirmed(replace(whole, audit_due=now + state.audit_interval), goal, now)
    return settled, (*told, *dropped, *commands)


def _confirmed(state: VfnState, goal: Goal, now: float) -> Step:
    """A goal was read back; perhaps it is not the present one any more."""
    state = replace(state, phase=Phase.IDLE, held=goal, change=None, failures=0, rounds=0, judged=False)
    if goal is not state.goal or (state.ahead and not state.hurried):
        return _go_on(state, now)
    news: tuple[Command, ...] = () if state.settled else (Synced(),)
    sent = frozenset(state.ahead)
    state = replace(state, settled=True, sent=sent, enforced_ratio=1.0, due=now + state.interval)
    return state, news


def _counted(state: VfnState, event: Counted, now: float) -> Step:
    if event.counts != state.counts and event.counts != _expected(state) and not state.hurried:
        return _read_all(state, now)
    idle = replace(state, phase=Phase.IDLE, due=now + state.interval)
    return (idle, ()) if idle.settled and not idle.doubted else _go_on(idle, now)


def _expected(state: VfnState) -> Counter[int]:
    """Entries by table with those that were sent ahead of the goal that was last read back."""
    held = () if state.held is None else state.held.entries.holding(state.ahead)
    return Counter(state.counts) + Counter(e.table for cookie, e in state.ahead.items() if cookie not in held)


def _drift(state: VfnState, add: Mapping[int, TableEntry], delete: Sequence[InstalledEntry]) -> tuple[Drift, ...]:
    """The part of a difference that no change of the goal explains."""
    if not state.fresh or state.held is None:
        strange = [entry for entry in delete if not _ours(entry)]
        return (Drift((), strange),) if strange else ()
    held, sent = state.held.entries, state.sent
    lost = [entry for cookie, entry in add.items() if cookie in held and cookie not in sent]
    strange = [entry for entry in delete if entry.cookie not in sent and entry.cookie not in held]
    return (Drift(lost, strange),) if lost or strange else ()


def _ours(entry: InstalledEntry) -> bool:
    return entry.cookie >> OWNER_SHIFT == OWNER


def _applied(state: VfnState, event: Applied, now: float) -> Step:
    again = (Again(tuple(state.ahead.values())),) if state.unsure else ()
    state, commands = _taken(replace(state, unsure=False), event, now)
    return state, (*again, *commands)


def _taken(state: VfnState, event: Applied, now: float) -> Step:
    if event.errors:
        return _failed(state, REFUSED, event.errors, now)
    if state.rounds >= MAX_ROUNDS:
        return _failed(state, f"after {MAX_ROUNDS} bundles the entries are still not there", (), now)
    state = replace(state, rounds=state.rounds + 1)
    reading, commands = _read_back(state, now)
    return reading, (Done(event.seconds), *commands)


def _read_back(state: VfnState, now: float) -> Step:
    """Read what was changed, if that is known and not too much."""
    change = state.change
    cookies = () if change is None else (*change.added, *change.removed)
    if change is None or len(cookies) > max(FEW, change.goal.size // FEW_OF):
        return _read_all(state, now)
    if not cookies:
        return _confirmed(state, change.goal, now)
    request = state.request + 1
    reading = replace(state, phase=Phase.READING, request=request, read=(), due=now + ANSWER_SECONDS)
    return reading, (Read(request, cookies),)


def _overdue(state: VfnState, now: float) -> Step:
    if state.phase is not Phase.IDLE:
        return _failed(state, f"no answer within {ANSWER_SECONDS:.0f} s", (), now)
    if not state.settled or state.doubted or now >= state.audit_due:
        return _read_all(replace(state, metered=False), now)
    request = state.request + 1
    counting = replace(state, phase=Phase.COUNTING, request=request, due=now + ANSWER_SECONDS)
    return counting, (Count(request),)


def _failed(state: VfnState, reason: str, errors: Sequence[Mapping[str, Any]], now: float) -> Step:
    failures = state.failures + 1
    due = now + backoff(failures)
    waiting = replace(state, phase=Phase.IDLE, failures=failures, rounds=0, due=due, read=(), doubted=True)
    return waiting, (Failed(reason, errors, due),)
