"""From directions to flows: each flow's two directions meet under one key, and the initiator is found.

Batches of sides (`attribute.SIDE`, counters since the last record) go in; events come out (`flows.FLOW`, counters
since the last event of that flow). The table behind keeps the newest flows with their totals. What runs once a side or
once a flow of a batch is in `pairing`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analyzer import pairing
from analyzer.flows import F8, FLOW, U8, Array, Bool, FlowBatch, FlowState
from analyzer.keytable import KeyTable
from analyzer.ledger import COUNTERS, Ledger, Parts
from analyzer.pairing import GATHERED, HALF, IDLE_SECONDS, MARK, refused

__all__ = ["ANSWER_SECONDS", "IDLE_SECONDS", "SILENT_SECONDS", "FlowTable", "flow_keys", "refused"]

ANSWER_SECONDS = 3.0
"""A TCP connection without any answer for so long has failed: telemetry of the answer may be two seconds late."""
SILENT_SECONDS = 6.0
"""A flow without news for so long is over: its VFN reports the end within five seconds."""


def flow_keys(sides: Array, salt: int) -> U8:
    """A 64-bit key of each side's flow, the same for both directions (sides: dtype `attribute.SIDE`)."""
    return pairing.keys_of(sides, np.uint64(salt))


class FlowTable:
    """The newest flows of the network, at most `memory`."""

    def __init__(self, memory: int, salt: int, recorded: bool = False) -> None:
        """Empty.

        Args:
            memory: flows that are kept at most.
            salt: of the hashes of their keys.
            recorded: `record` is called regularly: what leaves the table before its end is kept for it.
        """
        self._memory = memory
        self._salt = np.uint64(salt)
        self._table = KeyTable(memory)
        self._rows = np.zeros(self._table.size, FLOW)
        self._marks = np.zeros(self._table.size, MARK)
        self._finished = np.empty(0, np.int64)
        self._ledger = Ledger(self._table.size) if recorded else None

    def __len__(self) -> int:
        return self._table.used

    def update(self, sides: Array) -> FlowBatch:
        """Add the counters of unspoofed sides; returns one event for each flow that they touch.

        Where the table has to forget flows on the way, a flow may have an event before and one after that.
        """
        events, at, keys = [], 0, pairing.keys_of(sides, self._salt)
        while at < len(sides):
            at, batch = self._update(sides, at, keys)
            events.append(batch)
        return FlowBatch.concat(events)

    def witness(self, beyond: Array) -> None:
        """Take over what VFNs on the way say of packets (`Attributed.beyond`), of flows known or yet to come."""
        at = 0
        while at < len(beyond):
            self._make_room()
            changed = np.empty(len(beyond) - at, np.int64)
            table = self._table
            end, count, table.used = pairing.witness(
                beyond, at, self._salt, self._memory, table.keys, table.used, self._rows, self._marks, changed
            )
            if self._ledger is not None and count:
                self._ledger.displace(changed[:count], self._rows)
            pairing.take_witness(beyond, at, end, self._salt, self._table.keys, self._rows, self._marks)
            at = end

    def split(self, touching: Callable[[Array], Bool]) -> None:
        """Flows with other packets than before are put on record up to now; their fate is to be told anew.

        Args:
            touching: which of flows (dtype FLOW) are meant.
        """
        slots = np.flatnonzero(self._marks["open"])
        slots = slots[touching(self._rows[slots])]
        if self._ledger is not None:
            self._ledger.displace(slots, self._rows)
        self._rows["fate"][slots] = 0
        self._marks["fate"][slots] = 0

    def sweep(self, now: float) -> FlowBatch:
        """Events (without counters) of TCP connections that nobody has answered in `ANSWER_SECONDS`."""
        slots = np.flatnonzero(self._marks["unanswered"])
        rows = self._rows[slots]
        open_ = (rows["dst_pkts"] == 0) & (rows["state"] & FlowState.FAILED == 0)
        late = open_ & (rows["start"] < now - ANSWER_SECONDS)
        failed = slots[late]
        self._marks["unanswered"][slots] = open_ & ~late
        self._rows["state"][failed] |= np.uint8(FlowState.FAILED)
        events = self._rows[failed]
        for name in COUNTERS:
            events[name] = 0
        events["state"] = FlowState.FAILED
        return FlowBatch(events)

    def finish(self, now: float) -> FlowBatch:
        """Flows with totals that fell silent `SILENT_SECONDS` ago, each once; marks them FINAL."""
        slots = np.flatnonzero(self._marks["open"])
        self._finished = slots[self._rows["end"][slots] < now - SILENT_SECONDS]
        self._marks["open"][self._finished] = False
        self._rows["state"][self._finished] |= np.uint8(FlowState.FINAL)
        return FlowBatch(self._rows[self._finished])

    def set_risk(self, risk: F8) -> None:
        """Risk of each of the flows that `finish` gave last."""
        self._rows["risk"][self._finished] = risk

    def record(self, seconds: float) -> Parts:
        """For the record, since the last call: flows that ended, parts of those lasting `seconds`, what was displaced.

        To be called after `finish` (and `set_risk`), before anything else.
        """
        assert self._ledger is not None, "a table that is not `recorded` keeps no ledger"
        displaced, ended = self._ledger.take_displaced(), self._ledger.take(self._finished, self._rows)
        open_ = np.flatnonzero(self._marks["open"])
        return Parts.concat([displaced, ended, self._ledger.lasting(open_, self._rows, seconds)])

    def newest(self, vm: int | None, limit: int) -> FlowBatch:
        """Flows with totals, newest first; those from or to `vm` only, when given."""
        slots = np.flatnonzero(self._marks["live"])
        slots = slots[self._rows["src_pkts"][slots] + self._rows["dst_pkts"][slots] > 0]
        if vm is not None:
            slots = slots[(self._rows["src_vm"][slots] == vm) | (self._rows["dst_vm"][slots] == vm)]
        if len(slots) > limit:
            slots = slots[np.argpartition(self._rows["end"][slots], -limit)[-limit:]]
        return FlowBatch(self._rows[slots[np.argsort(-self._rows["end"][slots], kind="stable")]])

    def _update(self, sides: Array, begin: int, keys: U8) -> tuple[int, FlowBatch]:
        """Add sides from `begin` on, as far as there is room; where it stopped, and the events."""
        self._make_room()
        most, table = len(sides) - begin, self._table
        gathered, halves = np.empty(most, GATHERED), np.empty(2 * most, HALF)
        end, flows, table.used = pairing.gather(
            sides, begin, keys, self._memory, table.keys, table.used, self._rows, self._marks, gathered, halves
        )
        if self._ledger is not None:
            self._put_on_record(gathered[:flows])
        events = np.empty(flows, FLOW)
        pairing.merge(sides, flows, gathered, halves, self._rows, self._marks, events)
        return end, FlowBatch(events)

    def _put_on_record(self, gathered: Array) -> None:
        """See to it that nothing is lost of flows that something happens to."""
        assert self._ledger is not None
        fresh, slots = gathered["fresh"], gathered["slot"]
        self._ledger.displace(slots[(fresh & ~gathered["new"]) | gathered["changed"]], self._rows)
        self._ledger.begin(slots[fresh])
        self._ledger.turn(slots[gathered["turned"]])

    def _make_room(self) -> None:
        """Forget the oldest flows when the table is full, down to three quarters."""
        if self._table.used < self._memory:
            return
        slots = np.flatnonzero(self._marks["live"])
        keep = self._memory - max(1, self._memory // 4)
        slots = slots[np.argpartition(self._rows["end"][slots], len(slots) - keep)] if keep else slots
        lost, kept = np.split(slots, [len(slots) - keep])
        if self._ledger is not None:
            self._ledger.displace(lost, self._rows)
        rows, marks = self._rows[kept], self._marks[kept]
        moved = self._table.rebuild(kept)
        self._marks["live"] = self._marks["open"] = self._marks["unanswered"] = False
        self._rows[moved], self._marks[moved] = rows, marks
        if self._ledger is not None:
            self._ledger.move(kept, moved)
        self._finished = np.empty(0, np.int64)
