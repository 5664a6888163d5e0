"""What each VM does with each service it turns to: a row for every (initiator, destination, protocol, port).

Windows count what a subject does altogether; guessing at one login, calling one dead address again and again, or asking
one server for orders show only in what is done with that one. Events are counted step by step, many steps in one call;
memory is bounded by `MOST_SERVICES`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analyzer.compiled import Row, compiled
from analyzer.dealings import ROW, Dealings, Used
from analyzer.flows import F8, I8, NOBODY, TCP, U8, UDP, Array, Bool, FlowState
from analyzer.keytable import FULLEST, mixed, place_of, slots_for
from analyzer.observe import Novelty

MOST_SERVICES = 1 << 16
"""Rows; beyond, the half that was not used for longest is forgotten."""
PAUSE = 3600.0
"""Seconds of silence after which an acquaintance begins anew."""
VISIT = 1.0
"""Connections less than so many seconds apart are one visit: a page fetches its parts at once."""
_SIZE = slots_for(MOST_SERVICES)
_NONE, _ONE = np.uint64(0), np.uint64(1)
_NEW, _OPENS = int(FlowState.NEW), int(FlowState.NEW | FlowState.ASKED)
_FAILED, _NOT_ITS_OWN = int(FlowState.FAILED), int(FlowState.SPOOFED | FlowState.ANSWERED_ONLY)


class Table(NamedTuple):
    """Arrays of compiled loops, by slot."""

    keys: U8
    """0: free."""
    rows: Array
    """Of dtype `ROW`."""
    step: I8
    """The last step in which a connection was opened."""
    start: F8
    """When the latest of that step was."""
    used: I8
    """(1,) taken slots."""
    salt: U8
    """(1,)"""


class Events(NamedTuple):
    """What is counted, as columns of compiled loops."""

    subject: I8
    rows: Array
    starts: I8
    """The rows of each step in order of their start."""
    unknown: Bool
    unheard: Bool
    excused: Bool


class Services:
    """The newest dealings of all subjects."""

    def __init__(self, salt: int) -> None:
        self._table = Table(
            np.zeros(_SIZE, np.uint64),
            np.zeros(_SIZE, ROW),
            np.full(_SIZE, -1, np.int64),
            np.zeros(_SIZE),
            np.zeros(1, np.int64),
            np.full(1, salt, np.uint64),
        )
        self._steps = 0

    def update(
        self, edges: I8, subject: I8, rows: Array, novelty: Novelty, excused: Bool, finished: I8 | None = None
    ) -> Used:
        """Count events of `subject`s (NOBODY: nobody's); the dealings that connections were opened in, by step.

        Of these only the ones that are new to what was learned: with what is known nobody can do wrong by itself.

        Args:
            edges: (steps + 1,) where each step's events begin, the first at 0.
            subject: whose doing each event is.
            rows: the events (dtype FLOW).
            novelty: of those whom they talk to.
            excused: events whose failing is not their initiator's.
            finished: subjects of events that are whole flows, too, whose sizes count like `sizes` ahead of each step.
        """
        slots, begins, unknown = np.empty(len(rows), np.int64), np.zeros_like(edges), novelty.address(rows)
        most = int((unknown | novelty.service).sum())
        found, keys = np.empty(most, ROW), np.empty(most, np.uint64)
        if finished is None:
            finished = np.full(len(rows), NOBODY, np.int64)
        starts = np.lexsort((rows["start"], np.repeat(np.arange(len(edges) - 1), np.diff(edges))))
        events = Events(subject, rows, starts, unknown, novelty.service, excused)
        _update(self._table, self._steps, edges, finished, events, slots, found, keys, begins)
        self._steps += len(edges) - 1
        count = int(begins[-1])
        return Used(Dealings(found[:count], keys[:count]), begins)

    def sizes(self, subject: I8, rows: Array) -> None:
        """Learn what finished flows sent."""
        _size(self._table, subject, rows, 0, len(rows))

    def slots(self, subject: I8, rows: Array) -> I8:
        """Where the dealings that flows belong to are kept, -1 if none."""
        return _slots(self._table, subject, rows)

    @property
    def table(self) -> Table:
        """For compiled loops."""
        return self._table

    def forget(self, subjects: I8) -> None:
        """These subjects have done nothing."""
        kept = (self._table.keys != 0) & ~np.isin(self._table.rows["subject"], subjects)
        _keep(self._table, np.flatnonzero(kept))


@compiled
def _key(table: Table, subject: int, row: Row) -> np.uint64:
    key = mixed(mixed(mixed(table.salt[0], np.uint64(subject)), row.dst_hi), row.dst_lo)
    return max(mixed(mixed(key, np.uint64(row.proto)), np.uint64(row.dst_port)), _ONE)


@compiled
def _find(table: Table, key: np.uint64) -> int:
    place = place_of(table.keys, key)
    return place if table.keys[place] != _NONE else -1


@compiled
def _counts(row: Row) -> bool:
    """Does an event say something about its initiator's dealings with a service?"""
    return row.proto in {TCP, UDP} and row.state & _NOT_ITS_OWN == 0 and row.dst_segment >= 0


@compiled
def _slots(table: Table, subject: I8, rows: Array) -> I8:
    found = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        found[i] = _find(table, _key(table, subject[i], rows[i])) if subject[i] >= 0 else -1
    return found


@compiled
def _size(table: Table, subject: I8, rows: Array, begin: int, end: int) -> None:
    for i in range(begin, end):
        if subject[i] < 0 or not _counts(rows[i]):
            continue
        slot = _find(table, _key(table, subject[i], rows[i]))
        if slot >= 0:
            known, size = table.rows[slot], np.log1p(float(rows[i].src_bytes))
            known.sizes += 1.0
            known.size_sum += size
            known.size_squares += size * size


@compiled
def blame(table: Table, keys: U8, risk: F8, now: F8, begin: int, end: int) -> None:
    """The flows of these dealings are worth so much risk, as it was found at a time each."""
    for i in range(begin, end):
        slot = _find(table, keys[i])
        if slot >= 0:
            table.rows[slot].risk, table.rows[slot].risk_time = risk[i], now[i]


@compiled
def _keep(table: Table, slots: I8) -> None:
    """Forget all but these slots."""
    keys, rows, step, start = table.keys[slots], table.rows[slots], table.step[slots], table.start[slots]
    table.keys[:] = _NONE
    table.used[0] = len(slots)
    for i in range(len(slots)):
        slot = place_of(table.keys, keys[i])
        table.keys[slot], table.step[slot], table.start[slot] = keys[i], step[i], start[i]
        table.rows[slot] = rows[i]


@compiled
def _forget_half(table: Table) -> None:
    slots = np.flatnonzero(table.keys)
    last = np.empty(len(slots))
    for i in range(len(slots)):
        last[i] = table.rows[slots[i]].last
    _keep(table, slots[np.argsort(last, kind="mergesort")][len(slots) // 2 :])


@compiled
def _slot(table: Table, subject: int, row: Row, unknown: bool, unheard: bool) -> int:
    """Where a dealing is kept from now on; -1: more at once than fits, a flood of services, which the windows see."""
    key = _key(table, subject, row)
    slot = place_of(table.keys, key)
    if table.keys[slot] == key:
        return slot
    if table.used[0] >= FULLEST * len(table.keys):
        return -1
    table.keys[slot] = key
    table.used[0] += 1
    _begin(table.rows[slot])
    known = table.rows[slot]
    known.subject, known.dst_hi, known.dst_lo = subject, row.dst_hi, row.dst_lo
    known.proto, known.port, known.outside = row.proto, row.dst_port, row.dst_segment == 0
    known.unknown, known.unheard = unknown, unheard
    known.first = known.last = row.start
    known.risk = known.risk_time = 0.0
    return slot


@compiled
def _begin(known: Row) -> None:
    known.opened = known.failed = known.bytes_out = known.bytes_in = 0.0
    known.gaps = known.gap_sum = known.gap_squares = 0.0
    known.sizes = known.size_sum = known.size_squares = 0.0


@compiled
def _open(table: Table, slot: int, step: int, start: float) -> None:
    """A connection was opened; those of a step come in the order of their starts."""
    known, leads = table.rows[slot], table.step[slot] != step
    gap = start - (known.last if leads else table.start[slot])
    if leads and gap > PAUSE:
        _begin(known)
        known.first = start
    if VISIT <= gap <= PAUSE:
        log = np.log(gap)
        known.gaps += 1.0
        known.gap_sum += log
        known.gap_squares += log * log
    known.first, known.last = min(known.first, start), max(known.last, start)
    table.step[slot], table.start[slot] = step, start


@compiled
def _update(
    table: Table,
    steps: int,
    edges: I8,
    finished: I8,
    events: Events,
    slots: I8,
    found: Array,
    keys: U8,
    begins: I8,
) -> None:
    """See `Services.update`."""
    count = 0
    for k in range(len(edges) - 1):
        begin, end, step = edges[k], edges[k + 1], steps + k
        _size(table, finished, events.rows, begin, end)
        if table.used[0] + min(end - begin, MOST_SERVICES // 2) > MOST_SERVICES:
            _forget_half(table)
        _take(table, step, begin, end, events, slots)
        count = _tell(table, step, begin, end, slots, found, keys, count)
        begins[k + 1] = count


@compiled
def _take(table: Table, step: int, begin: int, end: int, events: Events, slots: I8) -> None:
    """Count the events of a step."""
    subject, rows, starts, unknown, unheard, excused = events
    for i in range(begin, end):
        counts = subject[i] >= 0 and _counts(rows[i])
        slots[i] = _slot(table, subject[i], rows[i], unknown[i], unheard[i]) if counts else -1
    for j in range(begin, end):
        i = starts[j]
        if slots[i] >= 0 and rows[i].state & _OPENS != 0:
            _open(table, slots[i], step, rows[i].start)
    for i in range(begin, end):
        if slots[i] >= 0:
            known, row = table.rows[slots[i]], rows[i]
            # What was new when it began may be known by now: learning was over, or went on.
            known.unknown, known.unheard = known.unknown and unknown[i], known.unheard and unheard[i]
            known.opened += 1.0 if row.state & _NEW != 0 else 0.0
            known.failed += 1.0 if row.state & _FAILED != 0 and not excused[i] else 0.0
            known.bytes_out += row.src_bytes
            known.bytes_in += row.dst_bytes


@compiled
def _tell(table: Table, step: int, begin: int, end: int, slots: I8, found: Array, keys: U8, count: int) -> int:
    """Dealings that are new and that a step opened something in are put behind `count` others; how many there are."""
    for i in range(begin, end):
        slot = slots[i]
        if slot >= 0 and table.step[slot] == step:
            table.step[slot] = -1
            if table.rows[slot].unknown or table.rows[slot].unheard:
                found[count], keys[count] = table.rows[slot], table.keys[slot]
                count += 1
    return count
